"""From a trained generator, or one from elsewhere, to a verified, self-describing model bundle."""

from ganserve.contract.bundle import Licences

from .bundle import Target
from .foreign import import_onnx
from .pipeline import Export, export, export_run
from .wrapping import Convention

__all__ = ["Convention", "Export", "Licences", "Target", "export", "export_run", "import_onnx"]
