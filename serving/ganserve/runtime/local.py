"""A bundle that is run in this process, without a server: queries in, the server's own answers out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ganserve.contract import images as codec
from ganserve.contract.bundle import IMAGES_OUTPUT
from ganserve.contract.rows import Rows
from ganserve.v1.generator_pb2 import SampleBatch, SampleQuery
from ganserve.v1.model_pb2 import ModelState, ServedModel

from .device import DeviceChoice, choose_device, count_physical_cores
from .lanes import Lanes
from .loader import load_model
from .replies import describe_batch
from .sources import Source, Span, draw_rows, open_source

_MAX_BATCH: Final = 32
_PART_BYTES: Final = 1024**2
_MAX_PART_ROWS: Final = 1024


class LocalModel:
    """A loaded bundle and lanes of its own. Any number of threads may share one; a forked process may not."""

    def __init__(self, folder: Path, *, device: DeviceChoice = "auto") -> None:
        """Reads, verifies and warms up the bundle, as a server does.

        Raises:
            ArtifactError: the bundle cannot be served.
            ConfigError: the device cannot be used.
        """
        self._lanes = Lanes(choose_device(device), count_physical_cores())
        try:
            self._loaded = load_model(folder, lanes=self._lanes, max_batch=_MAX_BATCH)
        except BaseException:
            self._lanes.close()
            raise

    def describe(self) -> ServedModel:
        """What a server would tell of it."""
        return self._loaded.describe(ModelState.MODEL_STATE_SERVING)

    def answer(self, query: SampleQuery) -> SampleBatch:
        """All samples of a query. Raises InvalidRequestError for one that a server would refuse too."""
        source = self._open(query)
        return self._batch(query, source, 0, source.count)

    def answer_in_parts(self, query: SampleQuery, part_rows: int | None) -> Iterator[SampleBatch]:
        """The samples of a query in index order.

        Args:
            query: of any number of samples.
            part_rows: samples of each batch but the last; None takes about 1 MiB.
        """
        source = self._open(query)
        image = self._loaded.card.image
        fitting = _PART_BYTES // (image.height * image.width * image.channels)
        size = part_rows or max(1, min(fitting, _MAX_PART_ROWS))
        for start in range(0, source.count, size):
            yield self._batch(query, source, start, min(size, source.count - start))

    def close(self) -> None:
        """Waits for the runs under way and frees the lanes."""
        self._lanes.close()

    def _open(self, query: SampleQuery) -> Source:
        codec.check_encoding(query.encoding)
        return open_source(query, self._loaded.card)

    def _batch(self, query: SampleQuery, source: Source, start: int, count: int) -> SampleBatch:
        made = self._make(source, start, count)
        batch = describe_batch(self._loaded, source, start, made, query.encoding)
        images = made.columns[IMAGES_OUTPUT]
        if codec.is_raw(query.encoding):
            batch.pixels = images.tobytes()
        else:
            batch.files.extend(codec.encode(image, query.encoding) for image in images)
        return batch

    def _make(self, source: Source, start: int, count: int) -> Rows:
        """The rows `start … start + count - 1`, divided over the lanes."""
        size = min(_MAX_BATCH, -(-count // self._lanes.num_lanes))
        spans = [Span(source, first, min(size, start + count - first)) for first in range(start, start + count, size)]
        return Rows.concatenate([run.result() for run in [self._lanes.submit(self._run, span) for span in spans]])

    def _run(self, span: Span) -> Rows:
        rows = draw_rows([span])
        return self._loaded.engine.run(rows).with_columns({name: rows.columns[name] for name in span.source.reported})
