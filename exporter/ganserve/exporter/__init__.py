"""From a trained generator, or one from elsewhere, to a verified, self-describing model bundle."""

from ganserve.v1.bundle_pb2 import Licences

from .bundle import Target
from .foreign import Convention, import_onnx
from .pipeline import Export, ExportWarning, export, export_run
from .renaming import rename
from .scorers import Scorer, export_scorer, scorers_of

__all__ = [
    "Convention",
    "Export",
    "ExportWarning",
    "Licences",
    "Scorer",
    "Target",
    "export",
    "export_run",
    "export_scorer",
    "import_onnx",
    "rename",
    "scorers_of",
]
