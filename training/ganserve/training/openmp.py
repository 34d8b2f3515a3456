"""How long OpenMP's threads wait for each other in a loop before they sleep."""

from __future__ import annotations

import os
from typing import Final

_SETTINGS: Final = frozenset({"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"})
_SPIN_COUNT: Final = 10_000


def bound_spinning() -> None:
    """Has threads that wait turn round for about half a millisecond, where the environment does not say how long.

    By itself GNU's OpenMP, which PyTorch uses on Linux, has them do so for many milliseconds. Where another program
    keeps a core busy, that is the time in which the thread that is waited for could run on the core of the one that
    waits.
    To sleep at once costs a call of the system for each operation. `benchmarks/threads.py` measures both.

    It must be called before torch is imported, because OpenMP reads the environment when it is loaded.
    """
    if not _SETTINGS & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = str(_SPIN_COUNT)
