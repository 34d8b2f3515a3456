"""Generators that were not trained here: from any ONNX file of one to a bundle like every other."""

from .convention import Convention
from .importing import import_onnx

__all__ = ["Convention", "import_onnx"]
