"""Scorers: a run's discriminator, and the classifier that judged it, as bundles that give images numbers."""

from .exporting import Scorer, export_scorer, scorers_of

__all__ = ["Scorer", "export_scorer", "scorers_of"]
