"""A tar as WebDataset reads it: for each sample an image, its label in `.cls`, and its address in `.json`."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganserve.client._sample_address import addresses

from .contents import Contents, image_files, stems

if TYPE_CHECKING:
    from ganserve.client._samples.samples import Samples


@contextmanager
def writing_webdataset(path: Path, contents: Contents) -> Iterator[WebDatasetWriter]:
    """Writes a file. Raises OSError."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        yield WebDatasetWriter(archive, contents)


class WebDatasetWriter:
    """Writes samples as they come."""

    def __init__(self, archive: tarfile.TarFile, contents: Contents) -> None:
        self._archive = archive
        self._contents = contents

    @property
    def num_bytes(self) -> int:
        return int(self._archive.offset)

    def add(self, samples: Samples) -> None:
        files = image_files(samples, self._contents)
        facts = self._facts(samples)
        for stem, file, fact in zip(stems(samples, self._contents), files, facts, strict=True):
            self._put(stem + self._contents.suffix, file)
            if "label" in fact:
                self._put(f"{stem}.cls", str(fact["label"]).encode())
            self._put(f"{stem}.json", json.dumps(fact, ensure_ascii=False).encode())

    def _facts(self, samples: Samples) -> list[dict[str, Any]]:
        """What is known of each sample: its address and the name of its class."""
        facts = [address.to_dict() for address in addresses(samples)]
        if not facts:  # of explicit latents
            facts = [{"model": samples.model.name, "digest": samples.model.digest} for _ in range(len(samples))]
        if samples.labels is not None:
            for fact, label in zip(facts, samples.labels.tolist(), strict=True):
                fact.update({"label": label, "class": self._contents.class_names[label]})
        return facts

    def _put(self, name: str, data: bytes) -> None:
        entry = tarfile.TarInfo(name)  # of no owner, and written at no time
        entry.size = len(data)
        self._archive.addfile(entry, io.BytesIO(data))
