"""Follows what happens in the folder of models: new bundles, other ones in their place, ones that go, aliases."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from ganserve.contract.bundle import MANIFEST_FILE, MODEL_FILE, SAMPLES_FILE, missing_bytes
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.manifest import read_manifest
from ganserve.contract.selectors import title_of

from .administration import Administration
from .aliases import ALIASES_FILE
from .bundles import list_bundles, place_of, told_without_folder
from .repository import Repository
from .throttled_log import ThrottledLog

_FILES: Final = (MANIFEST_FILE, MODEL_FILE, SAMPLES_FILE)

_log = logging.getLogger(__name__)

Mark = tuple[tuple[str, int, int, int], ...]
"""By which a change of a folder is noticed: name, i-node, size and time of each file."""


class FolderWatch:
    """Looks at the folder again and again. Belongs to one event loop.

    A bundle is complete when its manifest is there and verifies, and every file that it lists has the size that it
    says. What is not complete, or gone, for two looks in a row is told, or unloaded. What was refused is tried again
    once it changes, and what an operator has unloaded stays so until then.
    """

    def __init__(self, administration: Administration, repository: Repository, models_dir: Path) -> None:
        self._administration = administration
        self._repository = repository
        self._models_dir = models_dir
        self._settled: dict[Path, Mark] = {}  # bundles that were loaded or refused, as they looked then
        self._last_look: Mapping[Path, Mark] = {}
        self._seen: set[Path] = set()
        self._aliases_mark: Mark = ()
        self._failures = ThrottledLog(_log, interval_s=60.0)

    async def begin(self) -> None:
        """Takes what lies there now as known, since it is loaded by others."""
        self._last_look = await asyncio.to_thread(self._look)
        self._settled = dict(self._last_look)
        self._seen = set(self._last_look)
        self._aliases_mark = await asyncio.to_thread(_mark, [self._models_dir / ALIASES_FILE])

    async def run(self, *, every_s: float) -> None:
        """Follows the folder until it is cancelled."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.follow()
            except (ArtifactError, OSError) as error:
                self._failures.warning(
                    f"the folder of models cannot be read, and nothing changes until it can: {error}"
                )

    async def follow(self) -> None:
        """Looks once, and does what has to be done. Raises ArtifactError or OSError where the folder cannot be read."""
        found = await asyncio.to_thread(self._look)
        last, self._last_look = self._last_look, found
        self._seen |= found.keys()
        for bundle, mark in found.items():
            if self._settled.get(bundle) != mark:
                await self._take(bundle, mark, is_still=last.get(bundle) == mark)
        for bundle in self._seen - found.keys() - last.keys():
            await self._let_go(bundle)
        await self._follow_aliases()

    async def _take(self, bundle: Path, mark: Mark, *, is_still: bool) -> None:
        """Loads a bundle that is new or has changed, once it is complete."""
        if fault := await asyncio.to_thread(_incompleteness, bundle):
            reason = f"it is not complete: {told_without_folder(fault, self._models_dir)}"
            if is_still and self._repository.refuse(bundle, reason):
                _log.error("%s is refused: it is not complete: %s", title_of(*place_of(bundle)), fault)
            return
        self._settled[bundle] = mark
        with suppress(ArtifactError, ConfigError):  # which the log and the model's status tell
            await self._administration.load_bundle(bundle)

    async def _let_go(self, bundle: Path) -> None:
        """Unloads a bundle that has gone."""
        self._seen.remove(bundle)
        self._settled.pop(bundle, None)
        name, version = place_of(bundle)
        await self._repository.unload(name, version)
        _log.info("%s has left the folder, and is unloaded", title_of(name, version))
        for alias in self._repository.aliases_of(name, version):
            _log.warning("the alias %s:%s pointed to it, and nobody is answered by that now", name, alias)

    async def _follow_aliases(self) -> None:
        mark = await asyncio.to_thread(_mark, [self._models_dir / ALIASES_FILE])
        if mark == self._aliases_mark:
            return
        self._aliases_mark = mark
        try:
            await self._administration.read_aliases()
        except ArtifactError as error:
            _log.error("the aliases stay as they are: %s", error)

    def _look(self) -> dict[Path, Mark]:
        return {bundle: _mark([bundle / name for name in _FILES]) for bundle in list_bundles(self._models_dir)}


def _mark(files: list[Path]) -> Mark:
    marks = []
    for file in files:
        with suppress(FileNotFoundError):
            status = file.stat()
            marks.append((file.name, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(marks)


def _incompleteness(bundle: Path) -> str:
    """What a bundle lacks to be looked at; empty where nothing is missing."""
    if not (bundle / MANIFEST_FILE).exists():
        return f"{bundle / MANIFEST_FILE} is missing"
    try:
        return missing_bytes(bundle, read_manifest(bundle))
    except ArtifactError as error:
        return str(error)
