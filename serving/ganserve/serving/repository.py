"""The models of a server: name → versions → model. Names are looked up in memory, never joined into a path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ganserve.contract.bundle import MODEL_NAME
from ganserve.contract.errors import ArtifactError, InvalidRequestError, NotFoundError, PreconditionError
from ganserve.contract.labels import list_names
from ganserve.runtime.loader import LoadedModel
from ganserve.v1.generator_pb2 import ModelSelector
from ganserve.v1.model_pb2 import ModelCard, ModelIdentity, ModelState, ServedModel

from .batcher import Batcher


@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """A model that takes requests."""

    loaded: LoadedModel
    batcher: Batcher
    max_samples_per_request: int
    max_samples_per_part: int  # of a stream

    @property
    def identity(self) -> ModelIdentity:
        return self.loaded.identity

    @property
    def card(self) -> ModelCard:
        return self.loaded.card

    def describe(self, state: ModelState.ValueType) -> ServedModel:
        """What clients are told of it."""
        return ServedModel(
            identity=self.identity,
            card=self.card,
            state=state,
            runtime=self.loaded.runtime(),
            reproducibility=self.loaded.reproducibility,
            max_samples_per_request=self.max_samples_per_request,
        )


class Repository:
    """Models by name and version."""

    def __init__(self) -> None:
        self._models: dict[str, dict[int, Model]] = {}

    def __iter__(self) -> Iterator[Model]:
        """All models, by name and version."""
        for _, versions in sorted(self._models.items()):
            for _, model in sorted(versions.items()):
                yield model

    def add(self, model: Model) -> None:
        """Makes a model available."""
        self._models.setdefault(model.identity.name, {})[model.identity.version] = model

    def resolve(self, selector: ModelSelector, *, field: str) -> Model:
        """The model that a selector names: the highest version that has the version and digest asked for, if any.

        Args:
            selector: name, and perhaps version and digest.
            field: where the selector stands in the request, for messages.

        Raises:
            InvalidRequestError: the selector names nothing.
            NotFoundError: there is no such model or version.
            PreconditionError: no version of it has the digest asked for.
        """
        if not selector.name:
            raise InvalidRequestError(f"name a model; this server has {self._listed()}", field=f"{field}.name")
        versions = self._models.get(selector.name)
        if versions is None:
            raise NotFoundError(f"there is no model {selector.name[:80]!r}; this server has {self._listed()}")
        if selector.HasField("version") and selector.version not in versions:
            known = ", ".join(map(str, sorted(versions)))
            raise NotFoundError(f"{selector.name!r} has no version {selector.version}; this server has {known}")
        candidates = [versions[selector.version]] if selector.HasField("version") else list(versions.values())
        matching = [model for model in candidates if selector.digest in ("", model.identity.digest)]
        if not matching:
            known = ", ".join(f"{model.identity.version}: {model.identity.digest}" for model in candidates)
            raise PreconditionError(
                f"{selector.name!r} has no version with the digest {selector.digest[:80]}; this server has {known}. "
                "Samples are pinned to a digest, so ask a server that has it",
                field=f"{field}.digest",
            )
        return max(matching, key=lambda model: model.identity.version)

    def _listed(self) -> str:
        return list_names(sorted(self._models)) or "no models"


def find_bundles(models_dir: Path) -> list[Path]:
    """The folders `<name>/<version>` in a models folder, by name and version. Other files and folders are passed over.

    Raises:
        ArtifactError: the folder does not exist, holds no bundle, or holds a link that leads out of it.
    """
    if not models_dir.is_dir():
        raise ArtifactError(f"{models_dir} is not a folder; give the folder that `ganserve export --models` wrote to")
    bundles = [
        version
        for name in sorted(models_dir.iterdir())
        if MODEL_NAME.fullmatch(name.name) and name.is_dir()
        for version in sorted(name.iterdir(), key=lambda path: (len(path.name), path.name))
        if version.name.isdecimal() and version.is_dir()
    ]
    outside = [bundle for bundle in bundles if not bundle.resolve().is_relative_to(models_dir.resolve())]
    if outside:
        raise ArtifactError(f"{outside[0]} leads out of {models_dir}; put the bundle itself there, not a link to it")
    if not bundles:
        raise ArtifactError(
            f"{models_dir} holds no model; export one with `ganserve export RUN --onnx --models {models_dir}`"
        )
    return bundles
