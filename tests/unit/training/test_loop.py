from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ganserve.training import TrainingConfig
from ganserve.training.batches import Batches
from ganserve.training.card import build_card
from ganserve.training.datasets import ImageDataset
from ganserve.training.loop import StepLosses, train
from ganserve.training.state import TrainingState

CPU = torch.device("cpu")


def start(config: TrainingConfig, dataset: ImageDataset) -> tuple[TrainingState, Batches]:
    state = TrainingState.fresh(config, build_card(config, dataset), CPU)
    return state, Batches.of(dataset, conditional=config.conditional, seed=config.seed, device=CPU)


@pytest.mark.parametrize("arch", ["mlp", "dcgan"])
@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("loss", ["gan", "wgan", "wgan-gp"])
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
    assert all(torch.isfinite(step.critic) and torch.isfinite(step.generator) for step in losses)
    for name in ("generator", "critic", "ema"):
        pairs = zip(getattr(state, name).parameters(), getattr(before, name).parameters(), strict=True)
        assert all(not torch.equal(ours, theirs) for ours, theirs in pairs if ours.ndim > 1), name


def test_clipping_bounds_the_critic(
    make_config: Callable[..., TrainingConfig], make_dataset: Callable[..., ImageDataset]
) -> None:
    config = make_config(loss="wgan", clip_value=0.003)
    state, batches = start(config, make_dataset())
    train(state, batches, config, after_step=lambda _: None, should_stop=lambda: False)
    assert max(parameter.abs().max() for parameter in state.critic.parameters()) <= 0.003


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


def test_the_critic_learns_to_tell_real_from_generated(
    make_config: Callable[..., TrainingConfig], make_dataset: Callable[..., ImageDataset]
) -> None:
    config = make_config(loss="gan", arch="mlp", steps=60, batch_size=10, critic_lr=2e-3, generator_lr=1e-6)
    state, batches = start(config, make_dataset())
    losses: list[StepLosses] = []
    train(state, batches, config, after_step=losses.append, should_stop=lambda: False)
    assert losses[-1].critic < 0.5 * losses[0].critic
    assert losses[-1].real_logit > losses[-1].fake_logit
