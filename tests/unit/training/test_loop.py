from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch

from ganserve.training import TrainingConfig
from ganserve.training.batches import Batches
from ganserve.training.card import build_card
from ganserve.training.config import Architecture, LossName
from ganserve.training.datasets import ImageDataset
from ganserve.training.loop import StepLosses, train
from ganserve.training.state import TrainingState

CPU = torch.device("cpu")


def start(config: TrainingConfig, dataset: ImageDataset) -> tuple[TrainingState, Batches]:
    state = TrainingState.fresh(config, build_card(config, dataset), CPU)
    return state, Batches.of(
        dataset, conditional=config.conditional, seed=config.seed, device=CPU, mirror=config.mirror
    )


@pytest.mark.parametrize("arch", get_args(Architecture))
@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("loss", get_args(LossName))
def test_every_loss_trains_every_family(
    make_config: Callable[..., TrainingConfig],
    make_dataset: Callable[..., ImageDataset],
    loss: str,
    conditional: bool,
    arch: str,
) -> None:
    config = make_config(loss=loss, conditional=conditional, arch=arch, n_critic=2)
    dataset = make_dataset(9, 8, 3)
    state, batches = start(config, dataset)
    before, _ = start(config, dataset)
    losses: list[StepLosses] = []
    train(state, batches, config, after_step=losses.append, should_stop=lambda: False)
    assert state.step == len(losses) == 2
    assert state.images_seen == 2 * 2 * 4
    assert all(torch.isfinite(step.discriminator) and torch.isfinite(step.generator) for step in losses)
    assert state.num_skipped == 0
    for name in ("generator", "discriminator", "ema"):
        pairs = zip(getattr(state, name).parameters(), getattr(before, name).parameters(), strict=True)
        assert any(not torch.equal(ours, theirs) for ours, theirs in pairs), name


def test_clipping_bounds_the_discriminator(
    make_config: Callable[..., TrainingConfig], make_dataset: Callable[..., ImageDataset]
) -> None:
    config = make_config(loss="wgan", clip_value=0.003)
    state, batches = start(config, make_dataset())
    train(state, batches, config, after_step=lambda _: None, should_stop=lambda: False)
    assert max(parameter.abs().max() for parameter in state.discriminator.parameters()) <= 0.003


def test_the_loop_stops_between_steps(
    make_config: Callable[..., TrainingConfig], make_dataset: Callable[..., ImageDataset]
) -> None:
    config = make_config(steps=100)
    state, batches = start(config, make_dataset())
    train(state, batches, config, after_step=lambda _: None, should_stop=lambda: state.step == 3)
    assert state.step == 3


def test_the_seed_decides_everything_and_the_global_random_state_nothing(
    make_config: Callable[..., TrainingConfig], make_dataset: Callable[..., ImageDataset]
) -> None:
    results = []
    for seed, noise in ((5, 1), (5, 2), (6, 1)):
        torch.manual_seed(noise)
        config = make_config(seed=seed, loss="wgan-gp")
        state, batches = start(config, make_dataset())
        train(state, batches, config, after_step=lambda _: None, should_stop=lambda: False)
        results.append(torch.cat([parameter.detach().flatten() for parameter in state.generator.parameters()]))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_the_discriminator_learns_to_tell_real_from_generated(
    make_config: Callable[..., TrainingConfig], make_dataset: Callable[..., ImageDataset]
) -> None:
    config = make_config(
        loss="non-saturating", arch="mlp", steps=60, batch_size=10, discriminator_lr=2e-3, generator_lr=1e-6
    )
    state, batches = start(config, make_dataset())
    losses: list[StepLosses] = []
    train(state, batches, config, after_step=losses.append, should_stop=lambda: False)
    assert losses[-1].discriminator < 0.5 * losses[0].discriminator
    assert losses[-1].real_logit > losses[-1].fake_logit


@pytest.mark.parametrize(
    "settings",
    [
        {"augment": "color,translation,cutout"},
        {"mirror": True},
        {"lr_schedule": "cosine"},
        {"clip_grad_norm": 0.1},
        {"precision": "bf16"},
        {"loss": "wgan-gp", "precision": "bf16"},
        {"loss": "non-saturating", "discriminator_norm": "none", "r1_weight": 1.0, "penalty_every": 2},
    ],
)
def test_every_regulariser_takes_part(
    make_config: Callable[..., TrainingConfig], make_dataset: Callable[..., ImageDataset], settings: dict[str, Any]
) -> None:
    config = make_config(steps=4, **settings)
    base = {name: value for name, value in settings.items() if name in ("loss", "discriminator_norm")}
    weights = []
    for each in (config, make_config(steps=4, **base)):
        state, batches = start(each, make_dataset())
        train(state, batches, each, after_step=lambda _: None, should_stop=lambda: False)
        state.check_finite()
        weights.append(torch.cat([parameter.detach().flatten() for parameter in state.generator.parameters()]))
    assert not torch.equal(*weights)


def test_lazy_penalties_come_every_few_steps_and_weigh_more(
    make_config: Callable[..., TrainingConfig], make_dataset: Callable[..., ImageDataset]
) -> None:
    penalties = {}
    for every in (1, 3):
        config = make_config(loss="rpgan", steps=4, penalty_every=every)
        state, batches = start(config, make_dataset())
        losses: list[StepLosses] = []
        train(state, batches, config, after_step=losses.append, should_stop=lambda: False)
        penalties[every] = [float(step.penalty) for step in losses]
    assert [value > 0 for value in penalties[3]] == [True, False, False, True]
    assert penalties[3][0] == pytest.approx(3 * penalties[1][0])


def test_a_loss_that_is_not_finite_changes_no_weight_and_is_counted(
    make_config: Callable[..., TrainingConfig], make_dataset: Callable[..., ImageDataset]
) -> None:
    config = make_config(arch="mlp", steps=3)
    state, batches = start(config, make_dataset())
    before = [parameter.clone() for parameter in state.discriminator.parameters()]
    state.discriminator.register_forward_hook(lambda _module, _inputs, logits: logits * float("nan"))
    train(state, batches, config, after_step=lambda _: None, should_stop=lambda: False)
    assert state.num_skipped == 6
    assert all(torch.equal(*pair) for pair in zip(before, state.discriminator.parameters(), strict=True))
    state.check_finite()
