"""`ganserve rename`."""

from __future__ import annotations

from pathlib import Path

from ganserve.contract.manifest import digest_of, read_manifest
from ganserve.exporter.renaming import rename as rename_bundle


def rename(bundle: Path, *, name: str, version: int | None = None) -> None:
    """Give a bundle another name or version.

    It moves to `MODELS/NAME/VERSION`. The model stays as it is, its digest too, so its samples are the same. A bundle
    that was moved or copied by hand is made to agree with the folders that it lies in.

    Example: ganserve rename models/digits/1 --name numerals

    Args:
        bundle: Its folder, `MODELS/NAME/VERSION`.
        name: Name to serve the model by from now on.
        version: Its version from now on. The default is the number of its folder.
    """
    place = rename_bundle(bundle, name, version)
    print(f"{place}, digest {digest_of(read_manifest(place))[:12]}")
