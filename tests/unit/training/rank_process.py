"""One of the processes that test_ranks.py starts, as torchrun would: `rank_process.py CASE FOLDER`."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from ganserve.contract.errors import DivergenceError, GanserveError
from ganserve.training import TrainingConfig, resume_training, training_from_config
from ganserve.training.batches import Batches
from ganserve.training.card import build_card
from ganserve.training.datasets import load
from ganserve.training.interrupt import StopSignal
from ganserve.training.loop import StepLosses, train
from ganserve.training.optimisation import adam, descend
from ganserve.training.ranks import Ranks
from ganserve.training.shared_recorder import SharedRecorder
from ganserve.training.state import TrainingState

CPU = torch.device("cpu")
TINY: dict[str, Any] = {
    "data": "digits",
    "device": "cpu",
    "batch_size": 8,
    "latent_dim": 8,
    "base_width": 4,
    "evaluate_every": 0,
    "report_every": 2,
}
WITHOUT_BATCH_NORM: dict[str, dict[str, Any]] = {
    "rpgan": {"arch": "r3gan", "loss": "rpgan", "augment": "translation,cutout", "mirror": True},
    "wgan-gp": {"arch": "r3gan", "loss": "wgan-gp", "n_critic": 2, "clip_grad_norm": 0.1},
}


def take_a_step(folder: Path, ranks: Ranks) -> None:
    """One step of each network without batch norm; leaves its gradients and losses in FOLDER."""
    dataset = load("digits")
    for name, settings in WITHOUT_BATCH_NORM.items():
        # At such a rate the discriminator's own step changes nothing that the generator's gradient would show.
        config = TrainingConfig(out=folder, steps=1, discriminator_lr=1e-12, generator_lr=1e-12, **settings, **TINY)
        state = TrainingState.fresh(config, build_card(config, dataset), CPU, ranks)
        batches = Batches.of(dataset, conditional=True, seed=config.seed, device=CPU, mirror=config.mirror)
        batches.rank, batches.num_ranks = ranks.rank, ranks.num_ranks
        with SharedRecorder(ranks, None, StopSignal()) as recorder:
            losses: list[StepLosses] = []

            def after_step(
                of_step: StepLosses, recorder: SharedRecorder = recorder, losses: list[StepLosses] = losses
            ) -> None:
                recorder.after_step(of_step)
                losses.append(of_step)

            train(state, batches, config, after_step=after_step, should_stop=recorder.should_stop, ranks=ranks)
        tensors = dict(vars(losses[0]))
        for network in ("generator", "discriminator"):
            for key, parameter in getattr(state, network).named_parameters():
                tensors[f"{network}.{key}"] = parameter.grad.contiguous()
        save_file(tensors, folder / f"{name}-{ranks.rank}-of-{ranks.num_ranks}.safetensors")


def share_trouble(ranks: Ranks) -> dict[str, Any]:
    """What this rank learns of troubles that the last rank alone has."""
    is_last = ranks.rank == ranks.num_ranks - 1
    layer = nn.Linear(2, 1, bias=False)
    # The loss alone is not finite; its gradient is.
    loss = layer.weight.sum() + (float("inf") if is_last else 0.0)
    skipped = descend(loss, adam(layer, 0.1, (0.0, 0.99)), max_norm=None, ranks=ranks)
    with StopSignal() as stop, SharedRecorder(ranks, None, stop) as recorder:
        before = recorder.should_stop()
        if is_last:
            signal.raise_signal(signal.SIGTERM)
        recorder.after_step(StepLosses(*torch.zeros(6).unbind()))
        return {"skipped": int(skipped), "stops": [before, recorder.should_stop()], "signal": stop.received}


def lose_the_last(ranks: Ranks) -> str:
    """How a rank learns that the last one is gone."""
    if ranks.rank == ranks.num_ranks - 1:
        os._exit(9)
    try:
        ranks.largest(0)
    except GanserveError as error:
        return str(error)
    return "nothing"


def compute(folder: Path) -> None:
    """Steps and troubles, without a run."""
    ranks = Ranks.from_environment()
    with ranks.joined(CPU):
        take_a_step(folder, ranks)
        if ranks.num_ranks > 1:
            found = share_trouble(ranks)
            found["lost"] = lose_the_last(ranks)
            (folder / f"found-{ranks.rank}.json").write_text(json.dumps(found))


def run(folder: Path) -> None:
    """A whole run, the same in two parts, and one that diverges."""
    settings: dict[str, Any] = {"arch": "dcgan", "checkpoint_every": 3, "sample_every": 3, **TINY}
    hopeless: dict[str, Any] = {"loss": "wgan-gp", "n_critic": 1, "discriminator_lr": 1e30, "generator_lr": 1e30}
    with Ranks.from_environment().joined(CPU):
        training_from_config(TrainingConfig(out=folder / "whole", steps=6, **settings))
        training_from_config(TrainingConfig(out=folder / "parts", steps=3, **settings))
        resume_training(folder / "parts", steps=6)
        try:
            training_from_config(TrainingConfig(out=folder / "hopeless", steps=40, **hopeless, **settings))
        except DivergenceError as error:
            sys.exit(error.exit_code)


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"compute": compute, "run": run}[sys.argv[1]](Path(sys.argv[2]))
