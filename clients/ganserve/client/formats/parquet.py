"""Parquet with the features of Hugging Face's `datasets`: images or raw pixels, labels, and a column a part of the
address."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from ganserve.contract.errors import ConfigError
from ganserve.contract.extras import install_advice

from .contents import Contents, image_files, stems
from .xmp import SYNTHETIC

if TYPE_CHECKING:
    from ganserve.client._samples.samples import Samples

_GROUP_BYTES: Final = 4 * 2**20  # of pixels
_MOST_IN_GROUP: Final = 1000


@contextmanager
def writing_parquet(path: Path, contents: Contents) -> Iterator[ParquetWriter]:
    """Writes a file. Raises OSError, and ConfigError where pyarrow is missing."""
    arrow, parquet = _import_library()
    schema = _schema(arrow, contents)
    with path.open("wb") as file:
        sink = parquet.ParquetWriter(file, schema, compression="none")
        writer = ParquetWriter(arrow, sink, file, schema, contents)
        try:
            yield writer
            writer.flush()
        except BaseException:
            with suppress(Exception):  # it would close itself later, when its file is closed, and complain
                sink.close()
            raise
        sink.close()


def library_version() -> str:
    """Of the library that writes, on which the bytes depend. Raises ConfigError where it is missing."""
    _import_library()
    return version("pyarrow")


class ParquetWriter:
    """Writes samples in row groups, which are of one size however the samples come."""

    def __init__(self, arrow: Any, sink: Any, file: IO[bytes], schema: Any, contents: Contents) -> None:
        self._arrow = arrow
        self._sink = sink
        self._file = file
        self._schema = schema
        self._contents = contents
        self._group_rows = max(1, min(_MOST_IN_GROUP, _GROUP_BYTES // int(np.prod(contents.shape))))
        self._waiting: list[Samples] = []

    @property
    def num_bytes(self) -> int:
        return self._file.tell()

    def add(self, samples: Samples) -> None:
        self._waiting.append(samples)
        num_waiting = sum(map(len, self._waiting))
        if num_waiting < self._group_rows:
            return
        joined = samples.join(self._waiting)
        end = num_waiting - num_waiting % self._group_rows
        for start in range(0, end, self._group_rows):
            self._write(joined.between(start, start + self._group_rows))
        self._waiting = [joined.between(end, num_waiting)] if end < num_waiting else []

    def flush(self) -> None:
        """Writes the last group."""
        if self._waiting:
            self._write(self._waiting[0].join(self._waiting))

    def _write(self, samples: Samples) -> None:
        arrow, count, chain = self._arrow, len(samples), samples.chain
        columns = {
            "label": samples.labels,
            "index": samples.indices,
            "seed": arrow.repeat(arrow.scalar(samples.seed, arrow.uint64()), count),
            "truncation": arrow.repeat(arrow.scalar(samples.truncation, arrow.float64()), count),
            "spread": arrow.repeat(arrow.scalar(samples.spread, arrow.float64()), count),
            "best_of": arrow.repeat(arrow.scalar(chain["best_of"], arrow.uint32()), count),
            "scorer": arrow.repeat(arrow.scalar(chain["scorer"], arrow.string()), count),
            "then": [chain["then"] or []] * count,
            "model": arrow.repeat(f"{samples.model.name}:{samples.model.version}", count),
            "digest": arrow.repeat(samples.model.digest, count),
        }
        if self._contents.image_format == "raw":
            columns["pixels"] = self._pixels(samples)
        else:
            columns["image"] = self._images(samples)
        arrays = [arrow.array(columns[field.name], field.type) for field in self._schema]
        self._sink.write_table(arrow.Table.from_arrays(arrays, schema=self._schema), row_group_size=count)

    def _pixels(self, samples: Samples) -> Any:
        """The images without a copy, as a column of bytes."""
        pixels = np.ascontiguousarray(samples.numpy())
        offsets = np.arange(len(samples) + 1, dtype=np.int64) * (pixels.nbytes // len(samples))
        buffers = [None, self._arrow.py_buffer(offsets), self._arrow.py_buffer(pixels)]
        return self._arrow.LargeBinaryArray.from_buffers(self._arrow.large_binary(), len(samples), buffers)

    def _images(self, samples: Samples) -> Any:
        names = [stem + self._contents.suffix for stem in stems(samples, self._contents)]
        files = image_files(samples, self._contents)
        return self._arrow.StructArray.from_arrays(
            [self._arrow.array(files, self._arrow.binary()), self._arrow.array(names)], ["bytes", "path"]
        )


def _schema(arrow: Any, contents: Contents) -> Any:
    """The columns, and what `datasets` reads its features from."""
    is_raw = contents.image_format == "raw"
    image = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    fields: dict[str, tuple[Any, Mapping[str, Any] | Sequence[Mapping[str, Any]]]] = {
        "pixels": (arrow.large_binary(), _value("large_binary")),
        "image": (image, {"_type": "Image"}),
        "label": (arrow.int64(), {"names": list(contents.class_names), "_type": "ClassLabel"}),
        "index": (arrow.uint64(), _value("uint64")),
        "seed": (arrow.uint64(), _value("uint64")),
        "truncation": (arrow.float64(), _value("float64")),
        "spread": (arrow.float64(), _value("float64")),
        "best_of": (arrow.uint32(), _value("uint32")),
        "scorer": (arrow.string(), _value("string")),
        "then": (arrow.list_(arrow.string()), [_value("string")]),
        "model": (arrow.string(), _value("string")),
        "digest": (arrow.string(), _value("string")),
    }
    del fields["image" if is_raw else "pixels"]
    if not contents.is_chained:
        del fields["best_of"], fields["scorer"], fields["then"]
    if not contents.class_names:
        del fields["label"]
    features = {name: feature for name, (_, feature) in fields.items()}
    facts = {"digital_source_type": SYNTHETIC, "shape": contents.shape, "dtype": "uint8"}
    return arrow.schema(
        [(name, kind) for name, (kind, _) in fields.items()],
        metadata={"huggingface": json.dumps({"info": {"features": features}}), "ganserve": json.dumps(facts)},
    )


def _value(dtype: str) -> Mapping[str, str]:
    return {"dtype": dtype, "_type": "Value"}


def _import_library() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigError(f"Parquet files need pyarrow, which is not installed; {install_advice('parquet')}") from error
    return pyarrow, parquet
