"""Images/s of our loop and of a plain one, taken in turns, so that what else the machine does meets all alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ganserve.contract.errors import ConfigError
from ganserve.exporter.benchmark import Spread
from ganserve.training.config import TrainingConfig
from ganserve.training.datasets import ImageDataset
from ganserve.training.device import choose_device

from .contestants import PLAIN, Contestant, contestants

# Enough to use up what a DataLoader's workers got ready between its turns, and for them to rest in another's.
_NUM_WARM_UP_STEPS = 5


@dataclass(frozen=True, kw_only=True)
class TrainingSpeed:
    """What was measured, and where."""

    images_per_s: dict[str, list[float]]
    """Of each loop by name, the plain one first: real images that the discriminator sees a second, a figure a round."""

    preset: str
    shape: tuple[int, int, int]
    """Height, width and channels of an image."""
    batch_size: int
    num_steps: int
    """Measured steps of each loop in a round."""
    device: str
    num_threads: int
    """Of PyTorch, on the CPU."""
    differences: list[str]
    """What else ours does, or does in another way."""

    @property
    def num_rounds(self) -> int:
        """Turns that each loop had."""
        return len(self.images_per_s[PLAIN])

    def spread(self, name: str) -> Spread:
        """Images/s of a loop."""
        return Spread.of(self.images_per_s[name])

    def ratio(self, name: str) -> Spread:
        """How many times as fast as the plain loop a loop is, from the two figures of each round."""
        return Spread.of_ratios(self.images_per_s[name], self.images_per_s[PLAIN])


def measure(
    config: TrainingConfig,
    dataset: ImageDataset,
    *,
    preset: str,
    num_steps: int,
    num_rounds: int,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> TrainingSpeed:
    """Has every loop take `num_steps` steps in each of `num_rounds` rounds, in turns whose order changes.

    The first steps of a turn are not measured. `on_progress` is told how many turns are done, and of how many.

    Raises ConfigError where there are no steps or rounds, where `config` does not suit the images, or where they do not
    fill a batch.
    """
    for flag, number in (("--steps", num_steps), ("--rounds", num_rounds)):
        if number < 1:
            raise ConfigError(f"{flag} is {number}; give 1 or more")
    if len(dataset.images) < config.batch_size:
        raise ConfigError(
            f"--batch-size is {config.batch_size}, and {dataset.name} has {len(dataset.images):,} images; "
            "give a smaller one, or more images"
        )
    device = choose_device(config.device)
    loops = contestants(config, dataset, device)
    for loop in loops:
        loop.take_steps(_NUM_WARM_UP_STEPS, lambda: None)
    found: dict[str, list[float]] = {loop.name: [] for loop in loops}
    for number in range(num_rounds):
        for turn, loop in enumerate(loops if number % 2 == 0 else reversed(loops)):
            on_progress(number * len(loops) + turn, num_rounds * len(loops))
            found[loop.name].append(_images_per_s(loop, num_steps, device))
    _, height, width, num_channels = dataset.images.shape
    return TrainingSpeed(
        images_per_s=found,
        preset=preset,
        shape=(height, width, num_channels),
        batch_size=config.batch_size,
        num_steps=num_steps,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        num_threads=torch.get_num_threads(),
        differences=_differences(config),
    )


def _images_per_s(loop: Contestant, num_steps: int, device: torch.device) -> float:
    """Speed of the last `num_steps` steps of a turn, which is one call: what a call costs at first is warm-up too."""
    num_done, start_s = 0, 0.0

    def count() -> None:
        nonlocal num_done, start_s
        num_done += 1
        if num_done == _NUM_WARM_UP_STEPS:
            start_s = _now_s(device)

    loop.take_steps(_NUM_WARM_UP_STEPS + num_steps, count)
    return loop.images_per_step * num_steps / (_now_s(device) - start_s)


def _now_s(device: torch.device) -> float:
    """The time when the device has done all that it was told to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _differences(config: TrainingConfig) -> list[str]:
    """What ours does and the plain loop does not, or does in another way. Of `dcgan`, the first three."""
    others = {
        "averages the generator's weights (EMA)": True,
        "draws new latents for the generator's step": True,
        "looks for losses and gradients that are not finite": True,
        f"minimises {config.loss}, not cross-entropy": config.loss != "non-saturating",
        f"takes {config.num_discriminator_steps} discriminator steps a generator step": config.num_discriminator_steps
        > 1,
        "gives the discriminator gradient penalties": config.has_gradient_penalty,
        f"augments images ({config.augment})": bool(config.augment),
        "mirrors images": config.mirror,
        f"computes in {config.precision}": config.precision != "fp32",
    }
    return [text for text, is_so in others.items() if is_so]
