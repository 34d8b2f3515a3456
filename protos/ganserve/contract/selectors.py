"""How a version of a model is named in text: `digits:2`, or by an alias, `digits:stable`."""

from __future__ import annotations

import re
from typing import Final

from .bounds import Bounds

VERSIONS: Final = Bounds(1, 2**32 - 1)
"""Versions that a model may have."""

STABLE: Final = "stable"
"""The alias that answers where neither a version nor an alias is named."""

ALIAS: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
"""An alias of a version. It is never a number."""


def title_of(name: str, version: int) -> str:
    """A version of a model, as people name it."""
    return f"{name}:{version}"
