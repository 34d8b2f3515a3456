"""The table of names, versions and aliases that models are looked up in.

Names are looked up in memory, never joined into a path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ganserve.contract.errors import InvalidRequestError, NotFoundError, PreconditionError, UnavailableError
from ganserve.contract.labels import list_names
from ganserve.contract.selectors import STABLE, title_of
from ganserve.v1.generator_pb2 import ModelSelector
from ganserve.v1.model_pb2 import ModelIdentity, ModelState, ServedModel

from .model import Model

Aliases = dict[str, dict[str, int]]
"""Version, by the model's name and the alias."""

_LOAD_RETRY_S: Final = 1.0


@dataclass(eq=False, kw_only=True)
class Entry:
    """One version of a model.

    Attributes:
        name: of the model.
        version: of the model.
        model: what serves, if anything does.
        is_loading: whether a bundle is being loaded that is to serve.
        refusal: why the last bundle was refused; empty where it was not. What served before goes on.
    """

    name: str
    version: int
    model: Model | None = None
    is_loading: bool = False
    refusal: str = ""

    @property
    def title(self) -> str:
        """Name and version."""
        return title_of(self.name, self.version)

    @property
    def state(self) -> ModelState.ValueType:
        """What it does, on a server that serves."""
        if self.model is not None:
            return ModelState.MODEL_STATE_UNAVAILABLE if self.model.fault else ModelState.MODEL_STATE_SERVING
        return ModelState.MODEL_STATE_LOADING if self.is_loading else ModelState.MODEL_STATE_UNAVAILABLE

    @property
    def reason(self) -> str:
        """Why it does not serve, or what became of the bundle that is to take its place; empty where all is well."""
        if self.model is None:
            return self.refusal
        refusal = f"a new bundle was refused: {self.refusal}" if self.refusal else ""
        loading = "a new bundle is being loaded" if self.is_loading else ""
        return "; ".join(filter(None, (self.model.fault, loading or refusal)))

    def describe(self, server: ModelState.ValueType, aliases: Iterable[str] = ()) -> ServedModel:
        """What clients are told of it, by a server in such a state."""
        state = self.state if server == ModelState.MODEL_STATE_SERVING else server
        if self.model is not None:
            return self.model.describe(state, reason=self.reason, aliases=aliases)
        identity = ModelIdentity(name=self.name, version=self.version)
        return ServedModel(identity=identity, state=self.state, state_reason=self.reason, aliases=aliases)


class Catalogue:
    """All versions of all models, and what aliases point to.

    Attributes:
        aliases: never changed in place.
        retired: models that serve no more, but for calls pinned to their digests.
    """

    def __init__(self) -> None:
        self.aliases: Aliases = {}
        self.retired: list[Model] = []
        self._entries: dict[str, dict[int, Entry]] = {}

    def __iter__(self) -> Iterator[Entry]:
        """By name and version."""
        for _, versions in sorted(self._entries.items()):
            for _, entry in sorted(versions.items()):
                yield entry

    def get(self, name: str, version: int) -> Entry | None:
        """An entry, where there is one."""
        return self._entries.get(name, {}).get(version)

    def add(self, name: str, version: int) -> Entry:
        """The entry of a version, a new one where there is none."""
        return self._entries.setdefault(name, {}).setdefault(version, Entry(name=name, version=version))

    def remove(self, entry: Entry) -> None:
        """Forgets a version."""
        versions = self._entries[entry.name]
        del versions[entry.version]
        if not versions:
            del self._entries[entry.name]

    def aliases_of(self, name: str, version: int) -> list[str]:
        """The aliases that point to a version."""
        return sorted(alias for alias, target in self.aliases.get(name, {}).items() if target == version)

    def find(self, selector: ModelSelector, *, field: str) -> Entry:
        """The entry that a selector names, whether it serves or not; its digest is not looked at.

        Args:
            selector: name, and perhaps version or alias.
            field: where the selector stands in the request, for messages.

        Raises:
            InvalidRequestError: the selector names nothing, or both a version and an alias.
            NotFoundError: there is no such model, version or alias.
            PreconditionError: the alias points to a version that is not there.
        """
        versions = self._versions(selector, field)
        name, own_aliases = selector.name, self.aliases.get(selector.name, {})
        if selector.HasField("version"):
            if selector.alias:
                raise InvalidRequestError(
                    f"version {selector.version} and alias {selector.alias[:80]!r} are both given; give one of them",
                    field=f"{field}.alias",
                )
            if selector.version not in versions:
                known = ", ".join(map(str, sorted(versions)))
                raise NotFoundError(f"{name!r} has no version {selector.version}; this server has {known}")
            return versions[selector.version]
        alias = selector.alias or (STABLE if STABLE in own_aliases else "")
        if not alias:
            serving = [version for version, entry in versions.items() if entry.model is not None]
            return versions[max(serving or versions)]
        if alias not in own_aliases:
            known = list_names(sorted(own_aliases)) or "none"
            raise NotFoundError(f"{name!r} has no alias {alias[:80]!r} on this server; it has {known}")
        if own_aliases[alias] not in versions:
            raise PreconditionError(
                f"the alias {name}:{alias} points to version {own_aliases[alias]}, which is not served here; "
                "point it to one that is, or name a version",
                field=f"{field}.alias",
            )
        return versions[own_aliases[alias]]

    def resolve(self, selector: ModelSelector, *, field: str) -> Model:
        """The model that answers a selector.

        With a digest, that is whichever version has it, of the one version that is asked for, if any: also one that has
        just been retired, so that calls of many requests end by the model that they began with.

        Args:
            selector: name, and perhaps version, alias and digest.
            field: where the selector stands in the request, for messages.

        Raises:
            InvalidRequestError: the selector names nothing, or both a version and an alias.
            NotFoundError: there is no such model, version or alias.
            PreconditionError: no version of it has the digest asked for, or what is asked for cannot be served.
            UnavailableError: it is being loaded.
        """
        if selector.digest:
            candidates = list(self._candidates(selector))
            matching = [model for model in candidates if model.identity.digest == selector.digest]
            if matching:
                return max(matching, key=lambda model: model.identity.version)
        entry = self.find(selector, field=field)
        if selector.digest:
            known = ", ".join(f"{model.identity.version}: {model.identity.digest}" for model in candidates) or "none"
            raise PreconditionError(
                f"{selector.name!r} has no version with the digest {selector.digest[:80]}; this server has {known}. "
                "Samples are pinned to a digest, so ask a server that has it",
                field=f"{field}.digest",
            )
        if entry.model is not None:
            return entry.model
        if entry.is_loading:
            raise UnavailableError(f"{entry.title} is being loaded; try again shortly", retry_after_s=_LOAD_RETRY_S)
        raise PreconditionError(f"{entry.title} is not served here: {entry.reason}", field=f"{field}.name")

    def _candidates(self, selector: ModelSelector) -> Iterator[Model]:
        """All models of the name, and of the version where one is asked for."""
        entries = self._entries.get(selector.name, {}).values()
        serving = [entry.model for entry in entries if entry.model is not None]
        for model in (*serving, *(model for model in self.retired if model.identity.name == selector.name)):
            if not selector.HasField("version") or model.identity.version == selector.version:
                yield model

    def _versions(self, selector: ModelSelector, field: str) -> dict[int, Entry]:
        if not selector.name:
            raise InvalidRequestError(f"name a model; this server has {self._listed()}", field=f"{field}.name")
        versions = self._entries.get(selector.name)
        if versions is None:
            raise NotFoundError(f"there is no model {selector.name[:80]!r}; this server has {self._listed()}")
        return versions

    def _listed(self) -> str:
        return list_names(sorted(self._entries)) or "no models"
