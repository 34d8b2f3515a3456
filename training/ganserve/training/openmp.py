"""How long OpenMP's threads wait for each other in a loop before they sleep."""

from __future__ import annotations

import os
from typing import Final

_SETTINGS: Final = frozenset({"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"})
_SPIN_COUNT: Final = 1_000


def bound_spinning() -> None:
    """Has threads that wait spin a thousand times and then sleep, where the environment does not say how long.

    GNU's OpenMP, which PyTorch uses on Linux, has them spin 300,000 times by default, many milliseconds. Where another
    program keeps a core busy, the thread that is waited for could have run on the core of the one that spins. To sleep
    at once costs small networks, whose operations are as short as waking up. `benchmarks/threads.py` measures it.

    It must be called before torch is imported, because OpenMP reads the environment when it is loaded.
    """
    if not _SETTINGS & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = str(_SPIN_COUNT)
