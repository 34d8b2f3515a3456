"""Losses, one a file, each with its own rules.

To add one, write a file here that defines `OBJECTIVE`, and add its name to `LossName` in `config`: `wgan-gp` is
`wgan_gp.py`.
"""

from __future__ import annotations

from importlib import import_module

from ganserve.training.config import LossName

from .objective import Objective

__all__ = ["Objective", "objective_of"]


def objective_of(loss: LossName) -> Objective:
    """What the loss of that name minimises, and its rules."""
    objective: Objective = import_module(f"{__name__}.{loss.replace('-', '_')}").OBJECTIVE
    return objective
