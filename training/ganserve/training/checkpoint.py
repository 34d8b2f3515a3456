"""Checkpoints: one safetensors file with every tensor of a run, and the rest as JSON in its metadata. No code in it.

The metadata also holds a SHA-256 over all of it, because a flipped bit of a weight would otherwise load without a word.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim import Adam

from ganserve.contract import card as cards
from ganserve.contract.errors import ArtifactError
from ganserve.v1.model_pb2 import ModelCard

from .config import TrainingConfig
from .ema import averaged_copy
from .networks import Discriminator
from .rundir import CheckpointName, RunDir
from .state import Best, TrainingState, discriminator_for, generator_for
from .tensor_file import on_cpu, write_tensors

FORMAT = "ganserve-checkpoint-2"
_DIGEST = "sha256"
_NETWORKS = ("generator", "discriminator", "ema")
_OPTIMISERS = ("generator_optimiser", "discriminator_optimiser")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The plain numbers of a `TrainingState`, but for `images_seen`, which is the card's."""

    step: int
    trained_s: float = 0.0
    lr_scale: float
    num_rollbacks: int
    best: Best | None

    @classmethod
    def of(cls, state: TrainingState) -> Progress:
        """Those of `state`."""
        return cls(
            step=state.step,
            trained_s=state.trained_s,
            lr_scale=state.lr_scale,
            num_rollbacks=state.num_rollbacks,
            best=state.best,
        )

    @classmethod
    def from_json(cls, text: str) -> Progress:
        """Reads what `to_json` wrote."""
        values = json.loads(text)
        return cls(**values | {"best": None if values["best"] is None else Best(**values["best"])})

    def to_json(self) -> str:
        """As a JSON object."""
        return json.dumps(dataclasses.asdict(self))


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds, read and verified."""

    path: Path
    tensors: dict[str, Tensor]
    card: ModelCard
    config: TrainingConfig
    progress: Progress

    @property
    def step(self) -> int:
        """Generator steps done."""
        return self.progress.step

    def restore(self, state: TrainingState) -> None:
        """Puts `state`, fresh from the same config, where the saved run was. Raises ArtifactError."""
        for name in _NETWORKS:
            self.restore_network(getattr(state, name), name)
        for name in _OPTIMISERS:
            _restore_optimiser(getattr(state, name), self._below(name))
        state.num_skipped.copy_(self.tensors["num_skipped"])
        state.images_seen = self.card.images_seen
        state.step = self.progress.step
        state.trained_s = self.progress.trained_s
        state.lr_scale = self.progress.lr_scale
        state.num_rollbacks = self.progress.num_rollbacks
        state.best = copy.copy(self.progress.best)
        try:
            state.draws.set_state(self.tensors["draws"])
        except (RuntimeError, TypeError):
            # Saved on another kind of device, whose generator has another state; exactness ends there anyway.
            state.draws.reseed(self.config.seed + self.progress.step)

    def generator(self) -> nn.Module:
        """The averaged generator, in eval mode on the CPU. Raises ArtifactError."""
        generator = averaged_copy(generator_for(self.config, self.card))
        self.restore_network(generator, "ema")
        return generator

    def discriminator(self) -> Discriminator:
        """The discriminator, in eval mode on the CPU. Raises ArtifactError."""
        discriminator = discriminator_for(self.config, self.card)
        self.restore_network(discriminator, "discriminator")
        return discriminator.eval().requires_grad_(False)

    def restore_network(self, network: nn.Module, name: str) -> None:
        """Loads the weights saved under `name` (`generator`, `discriminator`, `ema`). Raises ArtifactError."""
        try:
            network.load_state_dict(self._below(name))
        except RuntimeError as error:
            raise ArtifactError(f"{self.path}: its {name} is not the network that its config describes") from error

    def _below(self, prefix: str) -> dict[str, Tensor]:
        return {
            key.removeprefix(f"{prefix}."): tensor
            for key, tensor in self.tensors.items()
            if key.startswith(f"{prefix}.")
        }


def save(path: Path, state: TrainingState, config: TrainingConfig, card: ModelCard) -> None:
    """Writes all of the run to `path`; the file before it stays until the new one is complete."""
    tensors = {"draws": state.draws.get_state(), "num_skipped": state.num_skipped}
    for name in _NETWORKS:
        tensors |= {f"{name}.{key}": tensor for key, tensor in getattr(state, name).state_dict().items()}
    for name in _OPTIMISERS:
        tensors |= {f"{name}.{key}": tensor for key, tensor in _optimiser_tensors(getattr(state, name)).items()}
    tensors = on_cpu(tensors)
    saved_card = ModelCard()
    saved_card.CopyFrom(card)
    saved_card.images_seen = state.images_seen
    metadata = {
        "format": FORMAT,
        "card": cards.to_json(saved_card),
        "config": config.to_json(),
        "progress": Progress.of(state).to_json(),
    }
    write_tensors(path, tensors, metadata | {_DIGEST: _digest(tensors, metadata)})


def load(path: Path) -> Checkpoint:
    """Reads and verifies a checkpoint. Raises ArtifactError for one that is missing, torn, altered or foreign."""
    if not path.is_file():
        raise ArtifactError(f"{path}: there is no such checkpoint; a run that saved none must be trained again")
    if not os.access(path, os.R_OK):
        raise ArtifactError(f"{path}: this user may not read it")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path}: torn, or not a checkpoint ({error})") from error
    if metadata.get("format") != FORMAT:
        raise ArtifactError(
            f"{path}: not a checkpoint of this ganserve (format {metadata.get('format')!r}, not {FORMAT!r})"
        )
    if metadata.pop(_DIGEST, None) != _digest(tensors, metadata):
        raise ArtifactError(f"{path}: altered since it was written (its SHA-256 differs); restore it or train again")
    return Checkpoint(
        path=path,
        tensors=tensors,
        card=cards.from_json(metadata["card"], source=str(path)),
        config=TrainingConfig.from_json(metadata["config"], source=str(path)),
        progress=Progress.from_json(metadata["progress"]),
    )


def load_chosen(run_dir: Path, checkpoint: CheckpointName | None = None) -> Checkpoint:
    """A checkpoint of a run; None is the best where an evaluation chose one, else the last. Raises ArtifactError."""
    paths = RunDir.existing(run_dir)
    if checkpoint is None:
        checkpoint = "best" if paths.checkpoint("best").is_file() else "last"
    return load(paths.checkpoint(checkpoint))


def load_generator(run_dir: Path, checkpoint: CheckpointName | None = None) -> tuple[nn.Module, ModelCard]:
    """The averaged generator of a run, in eval mode on the CPU, and its card. `checkpoint` is as for `load_chosen`.

    It is called as `generator(z, labels)`: z float32 (N, latent_dim), labels int64 (N,) or None where the card has no
    classes; the images are float32 (N, C, H, W) in [-1, 1]. Raises ArtifactError for a run or checkpoint that is
    missing, torn, altered or foreign.
    """
    saved = load_chosen(run_dir, checkpoint)
    return saved.generator(), saved.card


def _optimiser_tensors(optimiser: Adam) -> dict[str, Tensor]:
    state: dict[int, dict[str, Tensor]] = optimiser.state_dict()["state"]
    return {f"{index}.{key}": tensor for index, values in state.items() for key, tensor in values.items()}


def _restore_optimiser(optimiser: Adam, tensors: dict[str, Tensor]) -> None:
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".")
        parameter = parameters[int(index)]
        # A moment lies in memory as its parameter does; Adam's fused kernel goes through both side by side.
        moment = torch.empty_like(parameter).copy_(tensor) if tensor.shape == parameter.shape else tensor
        state.setdefault(int(index), {})[key] = moment
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def _digest(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """SHA-256, as lower-case hex, over the metadata and then name, dtype, shape and bytes of each tensor, by name."""
    sha256 = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        sha256.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha256.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha256.hexdigest()
