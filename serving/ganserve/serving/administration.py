"""What an operator may do with the models of a server's folder, whatever the protocol.

Models are named, and a path is only ever made of a name and a version that have been checked.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from ganserve.contract.errors import (
    ArtifactError,
    ConfigError,
    InvalidRequestError,
    NotFoundError,
    PreconditionError,
)
from ganserve.contract.selectors import ALIAS, title_of
from ganserve.runtime.loader import LoadedModel
from ganserve.v1.admin_pb2 import ModelStatus
from ganserve.v1.model_pb2 import ModelIdentity, ModelState, Reproducibility

from .aliases import (
    ALIASES_FILE,
    changed_aliases,
    find_lost_aliases,
    read_aliases,
    with_alias,
    write_aliases,
)
from .bundles import bundle_at, list_places, place_of, told_without_folder
from .catalogue import Aliases, Entry
from .model import Model
from .repository import Repository

_log = logging.getLogger(__name__)


class Administration:
    """Loads and unloads models, and moves aliases. Belongs to one event loop."""

    def __init__(self, repository: Repository, models_dir: Path) -> None:
        self._repository = repository
        self._models_dir = models_dir
        self._moving_aliases = asyncio.Lock()
        self._loads: set[asyncio.Task[Model]] = set()

    async def load_bundle(self, bundle: Path, *, beside_serving: bool = True) -> Model:
        """Loads a bundle of the folder. Raises ArtifactError or ConfigError, which the log is told too."""
        try:
            model = await self._repository.open(bundle, beside_serving=beside_serving)
        except (ArtifactError, ConfigError) as error:
            _log.error("%s is refused: %s", title_of(*place_of(bundle)), error)
            raise
        _log.info("%s", _describe(model.loaded))
        return model

    async def load(self, name: str, version: int | None) -> ModelStatus:
        """Loads a version, or the highest in the folder, and goes on with it where the caller leaves.

        Raises:
            NotFoundError: there is no such bundle.
            PreconditionError: it cannot be served.
        """
        bundle = await asyncio.to_thread(self._find, name, version)
        load = asyncio.create_task(self.load_bundle(bundle))
        self._loads.add(load)
        load.add_done_callback(self._settle)
        try:
            model = await asyncio.shield(load)
        except (ArtifactError, ConfigError) as error:
            raise PreconditionError(told_without_folder(str(error), self._models_dir), field="version") from error
        return self._status(model, ModelState.MODEL_STATE_SERVING, in_folder=True)

    async def unload(self, name: str, version: int | None) -> list[int]:
        """Unloads a version, or all, and tells which.

        Raises:
            NotFoundError: there is none.
            PreconditionError: an alias points to one of them.
        """
        versions = [entry.version for entry in self._repository.entries if entry.name == name]
        if version is not None:
            versions = [version] if version in versions else []
        if not versions:
            raise NotFoundError(f"{name[:80]!r} is not loaded" + ("" if version is None else f" in version {version}"))
        for one in versions:
            if aliases := self._repository.aliases_of(name, one):
                raise PreconditionError(
                    f"the alias {name}:{aliases[0]} points to version {one}; point it elsewhere first, or remove it",
                    field="version",
                )
        for one in versions:
            await self._repository.unload(name, one)
            _log.info("%s is unloaded", title_of(name, one))
        return versions

    async def move_alias(self, name: str, alias: str, version: int | None) -> int | None:
        """Points an alias to a version that serves, or removes it; tells where it pointed before.

        Raises:
            InvalidRequestError: it cannot be an alias.
            NotFoundError: there is no such version, or no alias to remove.
            PreconditionError: the version does not serve, or the file of aliases cannot be read or written.
        """
        if version is not None:
            self._check_alias(name, alias, version)
        async with self._moving_aliases:
            try:
                aliases, former = await asyncio.to_thread(self._write_alias, name, alias, version)
            except ArtifactError as error:
                text = told_without_folder(str(error), self._models_dir)
                raise PreconditionError(f"the alias stays where it is: {text}") from error
            self._take_aliases(aliases)
        return former

    async def read_aliases(self, *, strict: bool = False) -> None:
        """Takes the aliases that the file in the folder tells.

        Raises ArtifactError where it cannot be read, and, if `strict`, where one points to nothing.
        """
        async with self._moving_aliases:
            aliases = await asyncio.to_thread(read_aliases, self._models_dir)
            for lost in await asyncio.to_thread(find_lost_aliases, self._models_dir, aliases):
                if strict:
                    raise ArtifactError(f"{self._models_dir / ALIASES_FILE}: {lost}")
                _log.warning("%s", lost)
            self._take_aliases(aliases)

    def _take_aliases(self, aliases: Aliases) -> None:
        """Has them hold from now on. Others than the one that was asked for may have moved, by way of the file."""
        for change in changed_aliases(self._repository.aliases, aliases):
            _log.info("%s", change)
        self._repository.aliases = aliases

    async def status(self) -> list[ModelStatus]:
        """All versions, by name: those that serve, were refused, leave, or lie in the folder and are not loaded."""
        in_folder = await asyncio.to_thread(self._places)
        entries = {(entry.name, entry.version): entry for entry in self._repository.entries}
        statuses = [self._status_of_entry(entry, place in in_folder) for place, entry in entries.items()]
        statuses += [
            self._status(model, ModelState.MODEL_STATE_DRAINING, in_folder=False) for model in self._repository.retired
        ]
        pointed_to = {(name, version) for name, own in self._repository.aliases.items() for version in own.values()}
        statuses += [
            self._status_of_place(name, version, in_folder=(name, version) in in_folder)
            for name, version in (in_folder | pointed_to) - entries.keys()
        ]
        return sorted(statuses, key=lambda status: (status.identity.name, status.identity.version, status.state))

    def _places(self) -> set[tuple[str, int]]:
        """Names and versions of the bundles in the folder; none where it cannot be read, which the log tells."""
        try:
            return list_places(self._models_dir)
        except (ArtifactError, OSError) as error:
            _log.warning("the folder of models cannot be read: %s", error)
            return set()

    async def close(self) -> None:
        """Waits no longer for what is being loaded."""
        loads = list(self._loads)
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)

    def _settle(self, load: asyncio.Task[Model]) -> None:
        self._loads.discard(load)
        if not load.cancelled():
            load.exception()  # which the log has, also where the caller has left

    def _find(self, name: str, version: int | None) -> Path:
        """The folder of a version, or of the highest. Raises NotFoundError."""
        try:
            if version is None:
                versions = [found for other, found in list_places(self._models_dir) if other == name]
                if not versions:
                    raise NotFoundError(f"there is no bundle of {name[:80]!r} in the server's folder of models")
                version = max(versions)
            return bundle_at(self._models_dir, name, version)
        except ArtifactError as error:
            raise NotFoundError(told_without_folder(str(error), self._models_dir)) from error

    def _check_alias(self, name: str, alias: str, version: int) -> None:
        if not ALIAS.fullmatch(alias):
            raise InvalidRequestError(
                f"{alias[:80]!r} is no alias: give 1 to 32 of a-z, 0-9, '-' and '_', beginning with a letter",
                field="alias",
            )
        entry = self._repository.entry(name, version)
        if entry is None:
            raise NotFoundError(f"{title_of(name[:80], version)} is not loaded, so no alias can point to it")
        if entry.model is None:
            raise PreconditionError(f"{entry.title} does not serve: {entry.reason or 'it is being loaded'}")

    def _write_alias(self, name: str, alias: str, version: int | None) -> tuple[Aliases, int | None]:
        """All aliases as they are in the file now, but for one, and where that pointed before.

        That is for callers of this server: another one of the same folder may have written the file already.

        Raises ArtifactError for the file, and NotFoundError where there is no alias to remove.
        """
        aliases = read_aliases(self._models_dir)
        former = self._repository.aliases.get(name, {}).get(alias, aliases.get(name, {}).get(alias))
        if version is None and former is None:
            raise NotFoundError(f"{name[:80]!r} has no alias {alias[:80]!r}")
        aliases = with_alias(aliases, name, alias, version)
        write_aliases(self._models_dir, aliases)
        return aliases, former

    def _status_of_place(self, name: str, version: int, *, in_folder: bool) -> ModelStatus:
        """Of what is not loaded, or of what is not there and an alias points to."""
        return ModelStatus(
            identity=ModelIdentity(name=name, version=version),
            reason="" if in_folder else "there is no such bundle",
            aliases=self._repository.aliases_of(name, version),
            in_folder=in_folder,
        )

    def _status_of_entry(self, entry: Entry, in_folder: bool) -> ModelStatus:
        if entry.model is not None:
            return self._status(entry.model, entry.state, reason=entry.reason, in_folder=in_folder)
        identity = ModelIdentity(name=entry.name, version=entry.version)
        aliases = self._repository.aliases_of(entry.name, entry.version)
        return ModelStatus(
            identity=identity, state=entry.state, reason=entry.reason, aliases=aliases, in_folder=in_folder
        )

    def _status(self, model: Model, state: ModelState.ValueType, *, reason: str = "", in_folder: bool) -> ModelStatus:
        is_leaving = state == ModelState.MODEL_STATE_DRAINING
        return ModelStatus(
            identity=model.identity,
            state=state,
            reason=reason,
            aliases=() if is_leaving else self._repository.aliases_of(model.identity.name, model.identity.version),
            calls=model.in_use.count,
            load_s=model.loaded.load_s,
            in_folder=in_folder,
        )


def _describe(loaded: LoadedModel) -> str:
    engine, lanes = loaded.engine, loaded.engine.lanes
    rows_per_s = lanes.num_lanes * engine.max_batch / engine.cost_s(engine.max_batch)
    golden = "identical" if loaded.reproducibility == Reproducibility.REPRODUCIBILITY_IDENTICAL else "within one level"
    return (
        f"{title_of(loaded.identity.name, loaded.identity.version)} on {lanes.device}, digest "
        f"{loaded.identity.digest[:12]}, golden samples {golden}, lanes {lanes.num_lanes}, "
        f"{engine.cost_s(1) * 1e3:.2f} ms a single sample, up to {rows_per_s:,.0f} images/s, "
        f"loaded in {loaded.load_s:.1f} s"
    )
