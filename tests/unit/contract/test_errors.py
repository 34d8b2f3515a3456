from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from ganserve.contract.errors import GanserveError, RequestError, ServerError, request_error_type


def subclasses(error: type[GanserveError]) -> Iterator[type[GanserveError]]:
    for subclass in error.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


@pytest.mark.parametrize("status", [code.name for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_status_has_an_error(status: str) -> None:
    assert issubclass(request_error_type(status), RequestError)


def test_a_status_that_nobody_knows_is_the_servers_fault() -> None:
    assert request_error_type("INVENTED_LATER") is ServerError


def test_every_request_error_comes_back_from_its_own_status() -> None:
    for error in RequestError.__subclasses__():
        assert error.status in grpc.StatusCode.__members__
        assert request_error_type(error.status) is error


def test_every_error_ends_a_command_with_a_failure() -> None:
    assert all(0 < error.exit_code < 126 for error in subclasses(GanserveError))
