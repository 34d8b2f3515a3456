"""A model as a client shows it."""

from __future__ import annotations

from dataclasses import dataclass

from ganserve.contract.card import image_shape, shapes
from ganserve.v1.model_pb2 import ModelCard, ModelIdentity, ModelState, Reproducibility, Runtime, ServedModel


@dataclass(frozen=True, repr=False)
class ModelInfo:
    """A model as a server runs it.

    Attributes:
        message: all that the server said of it.
    """

    message: ServedModel

    @property
    def identity(self) -> ModelIdentity:
        """Name, version and digest."""
        return self.message.identity

    @property
    def card(self) -> ModelCard:
        """What the generator is."""
        return self.message.card

    @property
    def state(self) -> ModelState.ValueType:
        """Whether it takes requests."""
        return self.message.state

    @property
    def state_reason(self) -> str:
        """Why it takes none, or why a bundle that was to take its place was refused; empty where all is well."""
        return self.message.state_reason

    @property
    def aliases(self) -> tuple[str, ...]:
        """Aliases that point to it, such as ``stable``."""
        return tuple(self.message.aliases)

    @property
    def runtime(self) -> Runtime:
        """What it runs on."""
        return self.message.runtime

    @property
    def reproducibility(self) -> Reproducibility.ValueType:
        """How far its images are proven equal to the exporter's."""
        return self.message.reproducibility

    @property
    def max_samples_per_request(self) -> int:
        """Most samples that the server makes for one request. The client cuts larger calls by it."""
        return self.message.max_samples_per_request

    @property
    def name(self) -> str:
        """Name in the repository."""
        return self.identity.name

    @property
    def version(self) -> int:
        """Version in the repository."""
        return self.identity.version

    @property
    def digest(self) -> str:
        """SHA-256 of the ONNX file."""
        return self.identity.digest

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name a class, in label order; none for an unconditional generator."""
        return tuple(self.card.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return image_shape(self.card)

    def __repr__(self) -> str:
        state = ModelState.Name(self.state).removeprefix("MODEL_STATE_").lower()
        if not self.digest:
            return f"<{self.name}:{self.version}, {state}: {self.state_reason}>"
        classes = f"{len(self.class_names)} classes" if self.class_names else "no classes"
        return f"<{short_name(self.identity)}, {shapes(self.card)}, {classes}, {self.card.architecture}, {state}>"


def short_name(model: ModelIdentity) -> str:
    """Name, version and the beginning of the digest, where it is known."""
    return f"{model.name}:{model.version}" + (f"@{model.digest[:12]}" if model.digest else "")
