"""From a trained generator to a verified, self-describing model bundle."""

from .pipeline import Export, export, export_run

__all__ = ["Export", "export", "export_run"]
