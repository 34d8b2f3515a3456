"""What a run would cost, found by taking a few of its steps and throwing them away."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch
from rich.console import Console
from torch import nn

from .batches import Batches
from .config import TrainingConfig
from .datasets import ImageDataset, absolute, refuse_inside
from .device import allow_tf32, choose_device
from .evaluation.classifier_training import ClassifierSettings, train_classifier
from .evaluation.feature_extractor_cache import kept_feature_extractor
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
    judge_s: float | None
    """Of learning to judge samples, before the first step: 0 where the cache holds that, None without evaluations."""
    peak_memory_bytes: int
    """On CUDA of the device, else of the process, images included."""


def estimate(config: TrainingConfig, dataset: ImageDataset) -> Estimate:
    """Takes a few steps of the run that `config` describes, and writes nothing. Raises ConfigError."""
    device = choose_device(config.device)
    state = Session.begin(config, dataset, device, ALONE, Console(quiet=True)).state
    batches = Batches.of(
        dataset,
        conditional=config.conditional,
        seed=config.seed,
        device=device,
        mirror=config.mirror,
        balance_classes=config.balance_classes,
    )
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
        judge_s=_judge_s(dataset, device) if config.evaluate_every else None,
        peak_memory_bytes=_peak_memory_bytes(device),
    )


def print_estimate(
    config: TrainingConfig, console: Console, *, on_images: Callable[[ImageDataset], None] = lambda _: None
) -> None:
    """Shows the resolved settings, the size of the networks, and the estimate. `on_images` is given the images.

    Raises ConfigError and DatasetError, as the run would, before any of it is shown.
    """
    refuse_inside(config.out, absolute(config.data), "--out")
    dataset = load_dataset(config, console)
    on_images(dataset)
    cost = estimate(config, dataset)
    console.print(config.to_json().rstrip(), soft_wrap=True, highlight=False, markup=False)
    for line in (
        f"generator  {cost.generator_parameters:,} parameters",
        f"discriminator     {cost.discriminator_parameters:,} parameters",
        f"speed      {cost.images_per_s:,.0f} images/s, measured over a few steps",
        f"time       {timedelta(seconds=round(cost.seconds))} for {_steps_of(config, cost)}",
        *_judge_line(cost.judge_s),
        f"memory     {cost.peak_memory_bytes / 2**20:,.0f} MiB",
    ):
        console.print(line, soft_wrap=True, highlight=False)


def _judge_line(judge_s: float | None) -> Iterator[str]:
    if judge_s:
        duration = timedelta(seconds=math.ceil(judge_s))
        yield f"judge      {duration} more before the first step, to learn to judge samples, once for these images"
    elif judge_s is not None:
        yield "judge      kept from an earlier run on these images"


def _judge_s(dataset: ImageDataset, device: torch.device) -> float:
    """What it takes to train the feature extractor of `dataset`, found by a few of its steps."""
    settings = ClassifierSettings.for_dataset(dataset)
    if kept_feature_extractor(dataset, settings) is not None:
        return 0.0
    step_ends_s: list[float] = []
    few = dataclasses.replace(settings, num_steps=_NUM_WARM_UP_STEPS + _NUM_STEPS)
    train_classifier(dataset, few, device=device, on_progress=lambda *_: step_ends_s.append(time.perf_counter()))
    rest_s = time.perf_counter() - step_ends_s[-1]
    return (step_ends_s[-1] - step_ends_s[_NUM_WARM_UP_STEPS - 1]) / _NUM_STEPS * settings.num_steps + rest_s


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
