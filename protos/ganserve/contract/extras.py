"""How to get the parts of ganserve that the base install leaves out."""

from __future__ import annotations


def install_advice(extra: str) -> str:
    """The command that installs an extra. It is for a clone, because no package index has ganserve."""
    return f"in the folder of the clone, pip install --constraint constraints.txt '.[{extra}]'"
