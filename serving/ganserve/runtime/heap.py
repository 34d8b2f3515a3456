"""The heap of the C library."""

from __future__ import annotations

import ctypes
import sys


def trim_heap() -> None:
    """Gives free memory back to the system, which only glibc can be told to do."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
