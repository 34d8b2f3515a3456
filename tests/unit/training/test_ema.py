from __future__ import annotations

import pytest
import torch
from torch import nn

from ganserve.training.ema import averaged_copy, ema_decay, estimate_batch_norm, update_ema


class ScaledLatent(nn.Module):
    """Batch norm of the latent; the smallest network with statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)

    def forward(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        assert labels is None
        result: torch.Tensor = self.norm(z)
        return result


def test_half_life_in_images() -> None:
    decay = ema_decay(100, 1_000_000, half_life_images=1000, rampup=0.05)
    assert decay**10 == pytest.approx(0.5)


def test_rampup_bounds_the_half_life_by_a_share_of_the_images_seen() -> None:
    assert ema_decay(100, 2000, half_life_images=10_000, rampup=0.05) == pytest.approx(0.5)
    assert ema_decay(100, 2000, half_life_images=10_000, rampup=0) == pytest.approx(0.5**0.01)


def test_update_averages_parameters_and_copies_buffers() -> None:
    generator = ScaledLatent()
    ema = averaged_copy(generator)
    with torch.no_grad():
        generator.norm.weight.fill_(3)
    generator(torch.randn(8, 2) + 5)
    update_ema(ema, generator, 0.75)
    norm = ema.get_submodule("norm")
    assert isinstance(norm, nn.BatchNorm1d)
    torch.testing.assert_close(norm.weight.data, torch.full((2,), 1.5))
    torch.testing.assert_close(norm.running_mean, generator.norm.running_mean)


def test_the_average_is_in_eval_mode_and_needs_no_gradients() -> None:
    ema = averaged_copy(ScaledLatent())
    assert not ema.training
    assert not any(parameter.requires_grad for parameter in ema.parameters())


def test_estimated_statistics_are_those_of_the_batches_together() -> None:
    ema = averaged_copy(ScaledLatent())
    batches = [torch.randn(16, 2) * 3 + 1, torch.randn(16, 2) - 4]
    estimate_batch_norm(ema, [(z, None) for z in batches])
    norm = ema.get_submodule("norm")
    assert isinstance(norm, nn.BatchNorm1d)
    torch.testing.assert_close(norm.running_mean, torch.cat(batches).mean(dim=0))
    torch.testing.assert_close(norm.running_var, torch.stack([z.var(dim=0) for z in batches]).mean(dim=0))
    assert norm.momentum == 0.1
    assert not norm.training


def test_a_network_without_batch_norm_takes_no_batches() -> None:
    batches = iter([(torch.zeros(2, 2), None)])
    estimate_batch_norm(averaged_copy(nn.Linear(2, 2)), batches)
    assert len(list(batches)) == 1
