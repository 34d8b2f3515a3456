from __future__ import annotations

from typing import get_args

import torch

from ganserve.training.draws import Draws, Purpose, seed_for

CPU = torch.device("cpu")


def test_the_seed_decides_and_the_state_goes_on() -> None:
    draws = Draws(CPU, 3)
    draws.normal(4, 2)
    state = draws.get_state()
    expected = draws.uniform(5, 1, 1)
    again = Draws(CPU, 9)
    again.set_state(state)
    assert torch.equal(again.uniform(5, 1, 1), expected)
    assert expected.shape == (5, 1, 1)
    again.reseed(3)
    assert torch.equal(again.normal(4, 2), Draws(CPU, 3).normal(4, 2))


def test_processes_together_draw_what_one_would() -> None:
    whole = Draws(CPU, 3)
    parts = [Draws(CPU, 3, rank=rank, num_ranks=2) for rank in range(2)]
    for _ in range(2):
        assert torch.equal(whole.normal(6, 5), torch.cat([part.normal(3, 5) for part in parts]))
        assert torch.equal(whole.uniform(6, 1), torch.cat([part.uniform(3, 1) for part in parts]))


def test_every_purpose_has_numbers_of_its_own() -> None:
    purposes: tuple[Purpose, ...] = get_args(Purpose)
    seeds = {seed_for(purpose, seed) for purpose in purposes for seed in range(50)}
    assert len(seeds) == 50 * len(purposes)
    assert seed_for("weights", 0) == 3245395985266979118
