"""A bundle that is run in this process, without a server: queries in, the server's own answers out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ganserve.contract import images as codec
from ganserve.contract.bundle import IMAGES_OUTPUT, MODEL_NAME
from ganserve.contract.errors import NotFoundError, PreconditionError
from ganserve.contract.rows import Rows
from ganserve.v1.generator_pb2 import ModelSelector, SampleBatch, SampleQuery
from ganserve.v1.model_pb2 import ModelState, ServedModel

from .chain import Chain, find_stages
from .device import DeviceChoice, choose_device, count_physical_cores
from .lanes import Lanes
from .loader import LoadedModel, load_model
from .replies import describe_batch
from .sources import Span, draw_rows

_MAX_BATCH: Final = 32
_PART_BYTES: Final = 1024**2
_MAX_PART_ROWS: Final = 1024


class LocalModel:
    """A loaded bundle and lanes of its own. Any number of threads may share one; a forked process may not.

    Models that a query names beside it, to choose among its samples or to transform them, are those that lie in the
    same folder of bundles. They are loaded when they are first named.
    """

    def __init__(self, folder: Path, *, device: DeviceChoice = "auto") -> None:
        """Reads, verifies and warms up the bundle, as a server does.

        Raises:
            ArtifactError: the bundle cannot be served.
            ConfigError: the device cannot be used.
        """
        self._models = folder.absolute().parent.parent
        self._further: dict[Path, LoadedModel] = {}
        self._loading = threading.Lock()
        self._lanes = Lanes(choose_device(device), count_physical_cores())
        try:
            self._loaded = load_model(folder, lanes=self._lanes, max_batch=_MAX_BATCH)
        except BaseException:
            self._lanes.close()
            raise

    def describe(self, selector: ModelSelector | None = None) -> ServedModel:
        """What a server would tell of it, or of another model that a query may name. Raises as `answer` does."""
        loaded = self._loaded if selector is None else self._find(selector, "model")
        return loaded.describe(ModelState.MODEL_STATE_SERVING)

    def answer(self, query: SampleQuery) -> SampleBatch:
        """All samples of a query.

        Raises:
            InvalidRequestError: a server would refuse it too.
            NotFoundError: it names another model that is not there.
            ArtifactError: such a model cannot be served.
        """
        chain = self._open(query)
        return self._batch(query, chain, 0, chain.source.count)

    def answer_in_parts(self, query: SampleQuery, part_rows: int | None) -> Iterator[SampleBatch]:
        """The samples of a query in index order.

        Args:
            query: of any number of samples.
            part_rows: samples of each batch but the last; None takes about 1 MiB.
        """
        chain = self._open(query)
        image = chain.last.card.image
        fitting = _PART_BYTES // max(1, image.height * image.width * image.channels)
        size = part_rows or max(1, min(fitting, _MAX_PART_ROWS))
        for start in range(0, chain.source.count, size):
            yield self._batch(query, chain, start, min(size, chain.source.count - start))

    def close(self) -> None:
        """Waits for the runs under way and frees the lanes."""
        self._lanes.close()

    def _open(self, query: SampleQuery) -> Chain[LoadedModel]:
        codec.check_encoding(query.encoding)
        return Chain.open(query, find_stages(query, self._loaded, self._find))

    def _find(self, selector: ModelSelector, field: str) -> LoadedModel:
        """Another model of the same folder of bundles."""
        folder = self._models / selector.name
        versions = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
        version = selector.version if selector.HasField("version") else max(versions, default=0)
        if version not in versions or not MODEL_NAME.fullmatch(selector.name):
            raise NotFoundError(
                f"{self._models} has no bundle {selector.name!r}{f' of version {version}' if version else ''}",
                field=field,
            )
        with self._loading:
            place = folder / str(version)
            if place not in self._further:
                self._further[place] = load_model(place, lanes=self._lanes, max_batch=_MAX_BATCH)
            loaded = self._further[place]
        if selector.digest and loaded.identity.digest != selector.digest:
            raise PreconditionError(f"{place} has the digest {loaded.identity.digest}", field=field)
        return loaded

    def _batch(self, query: SampleQuery, chain: Chain[LoadedModel], start: int, count: int) -> SampleBatch:
        size = max(1, _MAX_PART_ROWS // chain.candidates)
        parts = [
            self._make(chain, first, min(size, start + count - first)) for first in range(start, start + count, size)
        ]
        made = Rows.concatenate(parts)
        batch = describe_batch(chain, start, made, query.encoding)
        images = made.columns.get(IMAGES_OUTPUT)
        if images is None:
            return batch
        if codec.is_raw(query.encoding):
            batch.pixels = images.tobytes()
        else:
            batch.files.extend(codec.encode(image, query.encoding) for image in images)
        return batch

    def _make(self, chain: Chain[LoadedModel], start: int, count: int) -> Rows:
        steps = chain.steps(start, count)
        model, span = next(steps)
        while True:
            rows = self._rows(model, span)
            try:
                model, span = steps.send(rows)
            except StopIteration as end:
                made: Rows = end.value
                return made

    def _rows(self, model: LoadedModel, span: Span) -> Rows:
        """The rows of a span, divided over the lanes."""
        size = min(model.engine.max_batch, -(-span.num_rows // self._lanes.num_lanes))
        end = span.start + span.num_rows
        spans = [Span(span.source, first, min(size, end - first)) for first in range(span.start, end, size)]
        return Rows.concatenate([run.result() for run in [self._lanes.submit(_run, model, part) for part in spans]])


def _run(model: LoadedModel, span: Span) -> Rows:
    rows = draw_rows([span])
    return model.engine.run(rows).with_columns({name: rows.columns[name] for name in span.source.reported})
