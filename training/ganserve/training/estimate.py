"""What a run would cost, found by taking a few of its steps and throwing them away."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import torch
from rich.console import Console
from torch import nn

from .batches import Batches
from .config import TrainingConfig
from .datasets import ImageDataset
from .device import allow_tf32, choose_device
from .loop import train
from .ranks import ALONE
from .run import load_dataset
from .session import Session
from .state import TrainingState

_NUM_WARM_UP_STEPS = 2
_NUM_STEPS = 8


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Cost of a whole run, evaluations not counted."""

    generator_parameters: int
    discriminator_parameters: int
    images_per_s: float
    """Real images shown to the discriminator."""
    seconds: float
    peak_memory_bytes: int
    """On CUDA of the device, else of the process, images included."""


def estimate(config: TrainingConfig, dataset: ImageDataset) -> Estimate:
    """Takes a few steps of the run that `config` describes, and writes nothing. Raises ConfigError."""
    device = choose_device(config.device)
    state = Session.begin(config, dataset, device, ALONE, Console(quiet=True)).state
    batches = Batches.of(dataset, conditional=config.conditional, seed=config.seed, device=device, mirror=config.mirror)
    allow_tf32(config.tf32)
    _take_steps(state, batches, config, _NUM_WARM_UP_STEPS)
    # As many with a gradient penalty among them as in the run.
    num_steps = math.ceil(_NUM_STEPS / config.penalty_every) * config.penalty_every
    start_s = time.perf_counter()
    _take_steps(state, batches, config, num_steps)
    step_s = (time.perf_counter() - start_s) / num_steps
    return Estimate(
        generator_parameters=_num_parameters(state.generator),
        discriminator_parameters=_num_parameters(state.discriminator),
        images_per_s=config.batch_size * config.num_discriminator_steps / step_s,
        seconds=step_s / config.share_done(1, step_s),
        peak_memory_bytes=_peak_memory_bytes(device),
    )


def print_estimate(
    config: TrainingConfig, console: Console, *, on_images: Callable[[ImageDataset], None] = lambda _: None
) -> None:
    """Shows the resolved settings, the size of the networks, and the estimate. `on_images` is given the images."""
    console.print(config.to_json().rstrip(), soft_wrap=True, highlight=False, markup=False)
    dataset = load_dataset(config, console)
    on_images(dataset)
    cost = estimate(config, dataset)
    for line in (
        f"generator  {cost.generator_parameters:,} parameters",
        f"discriminator     {cost.discriminator_parameters:,} parameters",
        f"speed      {cost.images_per_s:,.0f} images/s, measured over a few steps",
        f"time       {timedelta(seconds=round(cost.seconds))} for {_steps_of(config, cost)}",
        f"memory     {cost.peak_memory_bytes / 2**20:,.0f} MiB",
    ):
        console.print(line, soft_wrap=True, highlight=False)


def _take_steps(state: TrainingState, batches: Batches, config: TrainingConfig, num_steps: int) -> None:
    until = dataclasses.replace(config, steps=state.step + num_steps, minutes=None)
    train(state, batches, until, after_step=lambda _: None, should_stop=lambda: False)
    if state.device.type == "cuda":
        torch.cuda.synchronize(state.device)


def _steps_of(config: TrainingConfig, cost: Estimate) -> str:
    if config.num_steps is not None:
        return f"{config.num_steps:,} steps, evaluations not counted"
    num_steps = cost.seconds * cost.images_per_s / (config.batch_size * config.num_discriminator_steps)
    return f"about {num_steps:,.0f} steps, fewer by what the evaluations take"


def _num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _peak_memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource  # It is not there on Windows.

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
