"""What both clients share: everything but the calls themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import TIMEOUT_MAX

from numpy.typing import ArrayLike

from ganserve.contract.errors import RequestError
from ganserve.v1.generator_pb2 import GetModelRequest, SampleQuery
from ganserve.v1.model_pb2 import ServedModel

from ._channel import parse_addresses
from ._deadline import Deadline, check_timeout
from ._errors import request_errors
from ._labels import CountsLike, LabelsLike
from ._requests import IndicesLike, address_query, image_encoding, latents_query, model_selector, named


class Core:
    """Where to ask, for which model and for how long, and the model as a server last told it.

    Attributes:
        addresses: one or more server addresses.
        served: the model, or None where it has not been asked for or something went wrong since.
    """

    def __init__(
        self, target: str | Sequence[str], model: str | None, version: int | None, digest: str, timeout_s: float
    ) -> None:
        """Raises ConfigError or InvalidRequestError for arguments that cannot be used."""
        self.addresses = parse_addresses(target)
        self.served: ServedModel | None = None
        self._server = ", ".join(self.addresses)
        self._model = model_selector(model, version, digest)
        self._timeout_s = check_timeout(timeout_s)

    @contextmanager
    def call(self, timeout_s: float | None) -> Iterator[Deadline]:
        """One call, under its deadline and in the client's errors. After an error the model is asked for again."""
        deadline = Deadline(self._timeout_s if timeout_s is None else timeout_s)
        try:
            with request_errors(self._server, deadline.timeout_s):
                yield deadline
        except RequestError:
            self.served = None
            raise

    def wait_s(self, timeout_s: float | None) -> float:
        """Most seconds to wait for the next samples of a stream, finite. Raises ConfigError."""
        return min(check_timeout(self._timeout_s if timeout_s is None else timeout_s), TIMEOUT_MAX)

    def model_request(self) -> GetModelRequest:
        """Asks for the client's model. Raises InvalidRequestError where the client has none."""
        return GetModelRequest(model=named(self._model))

    def addressed(
        self,
        n: int | None,
        *,
        seed: int | None,
        first_index: int,
        labels: LabelsLike | None,
        counts: CountsLike | None,
        truncation: float | None,
        format: str,  # noqa: A002
        quality: int | None,
        indices: IndicesLike | None = None,
        endless: bool = False,
    ) -> SampleQuery:
        """Asks the client's model for samples of a seed, as `address_query` does. Raises InvalidRequestError."""
        return address_query(
            self._model,
            n,
            seed=seed,
            first_index=first_index,
            indices=indices,
            labels=labels,
            counts=counts,
            truncation=truncation,
            endless=endless,
            encoding=image_encoding(format, quality),
        )

    def explicit(
        self,
        latents: ArrayLike,
        *,
        labels: LabelsLike | None,
        format: str,  # noqa: A002
        quality: int | None,
    ) -> SampleQuery:
        """Asks the client's model for a sample a row of latents. Raises InvalidRequestError."""
        return latents_query(self._model, latents, labels=labels, encoding=image_encoding(format, quality))
