from __future__ import annotations

import pytest
import torch
from torch import nn

from ganserve.training.config import LrSchedule
from ganserve.training.optimisation import adam, descend, lr_factor, set_lr


@pytest.mark.parametrize(
    ("schedule", "factors"), [("constant", (1, 1, 1)), ("linear", (1, 0.5, 0.25)), ("cosine", (1, 0.5, 0.146447))]
)
def test_rates_fall_from_one_to_zero(schedule: LrSchedule, factors: tuple[float, float, float]) -> None:
    assert [lr_factor(schedule, share) for share in (0, 0.5, 0.75)] == pytest.approx(factors, rel=1e-5)


def test_the_first_step_of_adam_is_the_learning_rate_against_the_gradient() -> None:
    layer = nn.Linear(2, 1, bias=False)
    before = layer.weight.detach().clone()
    optimiser = adam(layer, 0.1, (0.0, 0.99))
    set_lr(optimiser, 0.05)
    skipped = descend((layer.weight * torch.tensor([3.0, -5.0])).sum(), optimiser, max_norm=None)
    assert skipped == 0
    torch.testing.assert_close(layer.weight.detach(), before - 0.05 * torch.tensor([[1.0, -1.0]]))


def test_a_gradient_above_the_limit_is_scaled_to_it() -> None:
    moments = []
    for max_norm in (None, 2.5, 10.0):
        layer = nn.Linear(2, 1, bias=False)
        optimiser = adam(layer, 0.1, (0.5, 0.99))
        descend((layer.weight * torch.tensor([3.0, 4.0])).sum(), optimiser, max_norm=max_norm)
        moments.append(optimiser.state[layer.weight]["exp_avg"])
    torch.testing.assert_close(moments[1], moments[0] / 2)
    torch.testing.assert_close(moments[2], moments[0])


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_is_not_taken(factor: float) -> None:
    layer = nn.Linear(2, 1, bias=False)
    before = layer.weight.detach().clone()
    optimiser = adam(layer, 0.1, (0.5, 0.99))
    assert descend((layer.weight * factor).sum(), optimiser, max_norm=1.0) == 1
    assert torch.equal(layer.weight, before)
    assert descend(layer.weight.sum(), optimiser, max_norm=1.0) == 0
    assert not torch.equal(layer.weight, before)
    assert all(bool(torch.isfinite(moment).all()) for moment in optimiser.state[layer.weight].values())
