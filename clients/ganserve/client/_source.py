"""What data sets, dumps and evaluations take samples from."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future
from typing import Protocol, Unpack

from numpy.typing import ArrayLike

from ganserve.contract.images import ImageFormatName
from ganserve.contract.interpolation import SeedAndIndex

from ._queries.labels import CountsLike, LabelsLike
from ._queries.options import SampleOptions
from ._queries.requests import IndicesLike
from ._samples.model_info import ModelInfo
from ._samples.samples import Samples


class SampleSource(Protocol):
    """Anything with these methods of `Client`: a client of one or several servers, or a `LocalGenerator`.

    The same address gives the same sample from each of them.
    """

    def generate(
        self,
        n: int | None = None,
        *,
        seed: int | None = None,
        first_index: int = 0,
        indices: IndicesLike | None = None,
        labels: LabelsLike | None = None,
        counts: CountsLike | None = None,
        truncation: float | None = None,
        spread: float | None = None,
        best_of: int | None = None,
        scorer: str | None = None,
        then: str | Sequence[str] | None = None,
        format: ImageFormatName = "raw",  # noqa: A002
        quality: int | None = None,
    ) -> Samples:
        """As `Client.generate`."""

    def submit(self, n: int | None = None, **options: Unpack[SampleOptions]) -> Future[Samples]:
        """As `Client.submit`."""

    def generate_from(
        self,
        latents: ArrayLike,
        *,
        labels: LabelsLike | None = None,
        format: ImageFormatName = "raw",  # noqa: A002
        quality: int | None = None,
    ) -> Samples:
        """As `Client.generate_from`."""

    def interpolate(
        self,
        start: SeedAndIndex,
        stop: SeedAndIndex,
        n: int,
        *,
        labels: LabelsLike | None = None,
        truncation: float | None = None,
        spread: float | None = None,
        format: ImageFormatName = "raw",  # noqa: A002
        quality: int | None = None,
    ) -> Samples:
        """As `Client.interpolate`."""

    def stream(
        self,
        n: int | None = None,
        *,
        batch_size: int | None = None,
        seed: int | None = None,
        first_index: int = 0,
        labels: LabelsLike | None = None,
        counts: CountsLike | None = None,
        truncation: float | None = None,
        spread: float | None = None,
        best_of: int | None = None,
        scorer: str | None = None,
        then: str | Sequence[str] | None = None,
        format: ImageFormatName = "raw",  # noqa: A002
        quality: int | None = None,
    ) -> Iterator[Samples]:
        """As `Client.stream`."""

    def batches(
        self, size: int, *, n: int | None = None, prefetch: int = 2, **options: Unpack[SampleOptions]
    ) -> Generator[Samples]:
        """As `Client.batches`."""

    def pinned(self) -> SampleSource:
        """As `Client.pinned`."""

    def get_model(self) -> ModelInfo:
        """As `Client.get_model`."""

    def close(self) -> None:
        """As `Client.close`."""
