"""The loops that are measured: the plain one, ours, and both with one measure exchanged."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from ganserve.training.batches import Batches
from ganserve.training.card import build_card
from ganserve.training.config import TrainingConfig
from ganserve.training.datasets import ImageDataset
from ganserve.training.loop import StepLosses, train
from ganserve.training.state import TrainingState, image_shape_of

from .plain_loop import Batch, PlainTraining, loaded_batches, train_plainly

PLAIN = "plain loop"
OURS = "ours"


@dataclass(frozen=True)
class Contestant:
    """A loop in the middle of its training."""

    name: str

    images_per_step: int
    """Real images shown to the discriminator."""

    take_steps: Callable[[int, Callable[[], None]], None]
    """Trains on for a number of steps, and calls the function after each."""


def contestants(config: TrainingConfig, dataset: ImageDataset, device: torch.device) -> list[Contestant]:
    """`PLAIN`, `OURS`, and what tells what each measure brings, all with fresh networks of the same weights.

    `dataset` must fill a batch. Raises ConfigError where `config` does not suit it.
    """
    card = build_card(config, dataset)
    in_memory = Batches.of(
        dataset, conditional=config.conditional, seed=config.seed, device=device, mirror=config.mirror
    )
    # Each has its own place in the order of the images; the images are there once.
    shown: dict[str, Any] = {
        name: getattr(in_memory, name) for name in ("images", "labels", "seed", "device", "mirror")
    }

    def loaded() -> Iterator[Batch]:
        return loaded_batches(dataset, config.batch_size, conditional=config.conditional)

    def plain(name: str, batches: Iterator[Batch]) -> Contestant:
        training = PlainTraining.fresh(config, image_shape_of(card), num_classes=len(card.class_names), device=device)
        return _plain(name, config, training, batches)

    def ours(
        name: str,
        *,
        batches: Batches | None = None,
        change: Callable[[TrainingState], None] = lambda _: None,
        look: Callable[[StepLosses], None] = lambda _: None,
    ) -> Contestant:
        state = TrainingState.fresh(config, card, device)
        change(state)
        return _ours(name, config, state, batches or Batches(**shown), look)

    return [
        plain(PLAIN, loaded()),
        plain(f"{PLAIN}, images as in ours", _in_order(Batches(**shown), config.batch_size)),
        ours(OURS),
        ours(f"{OURS}, generated images used twice", change=use_images_twice),
        ours(f"{OURS}, images from a DataLoader", batches=_LoadedBatches(loaded(), **shown)),
        ours(f"{OURS}, channels first", batches=_ChannelsFirstBatches(**shown), change=put_channels_first),
        ours(f"{OURS}, Adam not fused", change=unfuse),
        ours(f"{OURS}, discriminator not held still", change=keep_discriminator_learning),
        ours(f"{OURS}, figures read every step", look=_read),
    ]


def _plain(name: str, config: TrainingConfig, training: PlainTraining, batches: Iterator[Batch]) -> Contestant:
    def take_steps(num_steps: int, after_step: Callable[[], None]) -> None:
        train_plainly(training, batches, num_steps=num_steps, after_step=lambda _: after_step())

    return Contestant(name, config.batch_size, take_steps)


def _ours(
    name: str, config: TrainingConfig, state: TrainingState, batches: Batches, look: Callable[[StepLosses], None]
) -> Contestant:
    def take_steps(num_steps: int, after_step: Callable[[], None]) -> None:
        def look_and_count(losses: StepLosses) -> None:
            look(losses)
            after_step()

        until = dataclasses.replace(config, steps=state.step + num_steps, minutes=None)
        train(state, batches, until, after_step=look_and_count, should_stop=lambda: False)

    return Contestant(name, config.batch_size * config.num_discriminator_steps, take_steps)


def _in_order(batches: Batches, batch_size: int) -> Iterator[Batch]:
    return (batches.at(position, batch_size) for position in itertools.count(0, batch_size))


class _LoadedBatches(Batches):
    """The plain loop's batches in place of ours."""

    def __init__(self, loaded: Iterator[Batch], **shown: Any) -> None:
        super().__init__(**shown)
        self._loaded = loaded

    def at(self, position: int, num_images: int) -> Batch:  # noqa: ARG002 - the loader knows its own
        images, labels = next(self._loaded)
        return images.to(self.device), None if labels is None else labels.to(self.device)


class _ChannelsFirstBatches(Batches):
    """Our batches with the pixels of a channel side by side in memory."""

    def at(self, position: int, num_images: int) -> Batch:
        images, labels = super().at(position, num_images)
        return images.contiguous(), labels


def put_channels_first(state: TrainingState) -> None:
    """Lays the weights out as PyTorch does unless told otherwise."""
    for network in (state.generator, state.discriminator, state.ema):
        network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def unfuse(state: TrainingState) -> None:
    """Gives both networks the Adam of the plain loop."""
    state.discriminator_optimiser = _plain_adam(state.discriminator_optimiser)
    state.generator_optimiser = _plain_adam(state.generator_optimiser)


def _plain_adam(optimiser: Adam) -> Adam:
    group = optimiser.param_groups[0]
    plain = Adam(group["params"], lr=group["lr"], betas=group["betas"])
    plain.register_step_pre_hook(_forget_fused_inputs)
    return plain


def _forget_fused_inputs(optimiser: Optimizer, _arguments: Any, _keywords: Any) -> None:
    """Drops what only the fused kernel understands: which step to skip, and by how much to scale the gradient."""
    for name in ("found_inf", "grad_scale"):
        vars(optimiser).pop(name, None)


def use_images_twice(state: TrainingState) -> None:
    """Has the generator learn from the images that the discriminator has just learnt from, as the plain loop does.

    That saves a pass of the generator, and is the one of these changes that makes other samples: worse ones.
    """
    state.generator = _Remembering(state.generator)


class _Remembering(nn.Module):
    """A generator whose images for the discriminator's step are those of its own step too."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self._made = torch.empty(0)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z: (N, latent_dim), labels: (N,) or None -> images (N, C, H, W) in [-1, 1]."""
        if torch.is_grad_enabled():
            return self._made
        with torch.enable_grad():
            self._made = self.generator(z, labels)
        return self._made.detach()


def keep_discriminator_learning(state: TrainingState) -> None:
    """Has the generator's step work out gradients of the discriminator's weights too, which nobody uses."""
    state.discriminator = _Restless(state.discriminator)


class _Restless(nn.Module):
    """A discriminator that does not hold still when it is asked to."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """images: (N, C, H, W), labels: (N,) or None -> logits (N,)."""
        logits: Tensor = self.discriminator(images, labels)
        return logits

    def requires_grad_(self, requires_grad: bool = True) -> Self:  # noqa: ARG002 - not heard, on purpose
        """Changes nothing."""
        return self


def _read(losses: StepLosses) -> None:
    """Waits for every figure of the step."""
    for figure in vars(losses).values():
        figure.item()
