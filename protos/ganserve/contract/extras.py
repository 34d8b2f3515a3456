"""How to get the parts of ganserve that the base install leaves out."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

_PACKAGES: Final = {
    "train": ("torch",),
    "serve": ("onnx", "onnxruntime", "prometheus_client"),
    "export": ("torch", "onnx", "onnxruntime", "onnxscript"),
}


def missing_package(extra: str) -> str:
    """A package of an extra that is not installed; empty where all are."""
    return next((name for name in _PACKAGES[extra] if find_spec(name) is None), "")


def install_advice(extra: str) -> str:
    """The command that installs an extra. It is for a clone, because no package index has ganserve."""
    return f"in the folder of the clone, pip install --constraint constraints.txt '.[{extra}]'"
