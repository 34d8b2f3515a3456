"""Large calls that fail in part, and what is fetched again, over real gRPC, for both clients."""

from __future__ import annotations

import threading
from multiprocessing.reduction import ForkingPickler
from typing import Any

import grpc
import numpy as np
import pytest

from ganserve.client import (
    Client,
    DeadlineError,
    InvalidRequestError,
    Partial,
    PreconditionError,
    RequestError,
    ServerError,
    UnavailableError,
)
from ganserve.v1.generator_pb2 import GenerateRequest

from .conftest import Connect
from .scripted import LATENT_DIM, UNAVAILABLE, Failure, Script, ScriptedServer, image_values

pytestmark = pytest.mark.coalescing_too

BROKEN = Failure(grpc.StatusCode.INTERNAL, "broken")


def failure_of(client: Client, kind: type[RequestError] = ServerError, n: int = 60) -> RequestError:
    with pytest.raises(kind) as caught:
        client.generate(n, seed=3, first_index=100, labels=[0, 1, 2, 1])
    return caught.value


def partial_of(error: RequestError) -> Partial:
    assert isinstance(error.partial, Partial)
    return error.partial


def test_a_failure_tells_what_is_missing_and_keeps_what_came(
    connect: Connect, server: ScriptedServer, script: Script
) -> None:
    script.generate.extend([None, None, BROKEN])
    error = failure_of(connect(server.address))
    partial = partial_of(error)
    assert partial.samples is not None
    there, missing = partial.samples.indices.tolist(), partial.missing.tolist()
    assert sorted(there + missing) == list(range(100, 160))
    assert there == sorted(there)
    assert 20 <= len(there) < 60
    assert image_values(partial.samples.numpy()) == [(3 + index) % 256 for index in there]
    assert f"; {len(there)} of 60 samples came, and indices " in str(error)
    assert "are missing: resume(error) fetches these alone" in str(error)
    assert "broken" in str(error)


def test_the_parts_under_way_when_one_fails_are_kept(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.generate.append(BROKEN)
    error = failure_of(connect(server.address), n=40)
    assert len(partial_of(error).missing) == 10
    assert "30 of 40 samples came" in str(error)


def test_resume_fetches_what_is_missing_alone(connect: Connect, server: ScriptedServer, script: Script) -> None:
    client = connect(server.address)
    script.generate.extend([None, BROKEN, None, BROKEN])
    error = failure_of(client)
    missing = partial_of(error).missing.tolist()
    script.generate.clear()
    script.requests.clear()
    whole = client.resume(error)
    addresses = [request.query.address for request in script.asked(GenerateRequest)]
    asked = [address.first_index + i for address in addresses for i in range(address.count)]
    assert sorted(asked) == sorted(missing)
    expected = client.generate(60, seed=3, first_index=100, labels=[0, 1, 2, 1])
    np.testing.assert_array_equal(whole.numpy(), expected.numpy())
    np.testing.assert_array_equal(whole.indices, expected.indices)
    assert whole.labels is not None
    assert expected.labels is not None
    assert whole.labels.tolist() == expected.labels.tolist()


def test_resume_may_fail_and_be_resumed(connect: Connect, server: ScriptedServer, script: Script) -> None:
    client = connect(server.address)
    script.generate.extend([None, BROKEN])
    error = failure_of(client)
    script.generate.clear()
    script.generate.append(BROKEN)
    with pytest.raises(ServerError) as caught:
        client.resume(error)
    assert len(partial_of(caught.value).missing) <= len(partial_of(error).missing)
    assert image_values(client.resume(caught.value).numpy()) == [(103 + i) % 256 for i in range(60)]


def test_a_call_of_which_nothing_came_is_made_again(connect: Connect, server: ScriptedServer, script: Script) -> None:
    client = connect(server.address, retry_for_s=0)
    script.generate.append(UNAVAILABLE)
    with pytest.raises(UnavailableError) as caught:
        client.generate(5)
    assert "missing" not in str(caught.value)
    partial = partial_of(caught.value)
    assert partial.samples is None
    assert partial.missing.tolist() == [0, 1, 2, 3, 4]
    (first,) = script.asked(GenerateRequest)
    assert client.resume(caught.value).seed == first.query.address.seed


def test_an_error_that_says_nothing_of_samples_is_raised_again(connect: Connect, server: ScriptedServer) -> None:
    client = connect(server.address)
    with pytest.raises(InvalidRequestError, match="n is 0") as caught:
        client.generate(0)
    with pytest.raises(InvalidRequestError, match="n is 0"):
        client.resume(caught.value)


@pytest.mark.parametrize("error", [ValueError("x"), "x", None])
def test_what_is_no_error_of_a_call_is_refused(connect: Connect, server: ScriptedServer, error: Any) -> None:
    with pytest.raises(InvalidRequestError, match="is not the error of a call for samples; give the RequestError that"):
        connect(server.address).resume(error)


@pytest.mark.parametrize(
    ("arguments", "is_for"),
    [
        ({"model": "pets"}, "model 'pets'"),
        ({"model": None}, "no model"),
        ({"model": "digits", "digest": "cd" * 32}, "model 'digits'@cdcdcdcdcdcd"),
    ],
)
def test_a_client_of_another_model_says_so(
    connect: Connect, server: ScriptedServer, script: Script, arguments: dict[str, Any], is_for: str
) -> None:
    script.generate.extend([None, BROKEN])
    error = failure_of(connect(server.address))
    script.generate.clear()
    says = f"the call that failed was for model 'digits'@abababababab, and this client is for {is_for}; resume it with"
    with pytest.raises(InvalidRequestError, match=says):
        connect(server.address, **arguments).resume(error)
    assert len(connect(server.address, "digits:2").resume(error)) == 60


def test_a_client_of_another_version_says_so(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.generate.extend([None, BROKEN])
    error = failure_of(connect(server.address, "digits:2"))
    script.generate.clear()
    with pytest.raises(
        InvalidRequestError, match="for model 'digits:2'@abababababab, and this client is for model 'digi"
    ):
        connect(server.address, "digits:1").resume(error)


def test_scattered_indices_and_latents(connect: Connect, server: ScriptedServer, script: Script) -> None:
    client = connect(server.address)
    order = [(i * 37) % 101 for i in range(40)]
    script.generate.extend([None, BROKEN])
    with pytest.raises(ServerError, match=r"and indices .*, …, ") as caught:
        client.generate(indices=order, seed=0)
    partial = partial_of(caught.value)
    assert partial.samples is not None
    assert sorted(partial.samples.indices.tolist() + partial.missing.tolist()) == sorted(order)
    script.generate.clear()
    assert client.resume(caught.value).indices.tolist() == order

    rows = np.repeat(np.arange(40.0)[:, None], LATENT_DIM, axis=1)
    script.generate.extend([BROKEN, None])
    with pytest.raises(ServerError, match="and rows ") as caught:
        client.generate_from(rows, labels=[0, 1, 2])
    partial = partial_of(caught.value)
    assert partial.samples is not None
    assert image_values(partial.samples.numpy()) == partial.samples.indices.tolist()
    script.generate.clear()
    whole = client.resume(caught.value)
    assert image_values(whole.numpy()) == list(range(40))
    assert whole.indices.tolist() == list(range(40))


def test_what_comes_too_late_is_missing(connect: Connect, server: ScriptedServer, script: Script) -> None:
    client = connect(server.address)
    client.get_model()
    script.hold, script.hold_after = threading.Event(), 2
    with pytest.raises(DeadlineError, match="20 of 60 samples came, and indices") as caught:
        client.generate(60, seed=3, timeout_s=0.5)
    assert len(partial_of(caught.value).missing) == 40
    script.hold.set()
    assert image_values(client.resume(caught.value).numpy()) == list(range(3, 63))


def test_errors_go_to_other_processes_with_what_came(connect: Connect, server: ScriptedServer, script: Script) -> None:
    client = connect(server.address)
    script.generate.extend([None, BROKEN])
    error = failure_of(client)
    script.generate.clear()
    copy = ForkingPickler.loads(ForkingPickler.dumps(error))
    assert (type(copy), str(copy), repr(copy.partial)) == (type(error), str(error), repr(error.partial))
    assert len(client.resume(copy)) == 60


def test_models_are_not_mixed(connect: Connect, server: ScriptedServer, script: Script) -> None:
    client = connect(server.address)
    script.generate.extend([None, BROKEN])
    error = failure_of(client)
    script.generate.clear()
    script.digest = "cd" * 32
    with pytest.raises(PreconditionError, match="samples came") as caught:
        client.resume(error)
    assert partial_of(caught.value).missing.tolist() == partial_of(error).missing.tolist()
    script.digest = "ab" * 32
    assert len(client.resume(caught.value)) == 60


def test_a_future_and_a_smaller_limit(server: ScriptedServer, script: Script) -> None:
    with Client(server.address, model="digits") as client:
        script.generate.extend([None, BROKEN])
        error = client.submit(60, seed=3).exception()
        assert isinstance(error, RequestError)
        script.generate.clear()
        script.max_samples = 3
        assert image_values(client.resume(error).numpy()) == list(range(3, 63))
