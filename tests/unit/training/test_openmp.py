"""A command of training sets how OpenMP waits before OpenMP is loaded, unless the environment does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

LOOK = """
import os, sys
import ganserve.training.cli
assert "torch" not in sys.modules
print(os.environ.get("GOMP_SPINCOUNT"))
"""


@pytest.mark.parametrize(
    ("given", "spin_count"),
    [({}, "1000"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "None"), ({"GOMP_SPINCOUNT": "7"}, "7")],
)
def test_threads_spin_for_a_short_time_unless_told_otherwise(given: dict[str, str], spin_count: str) -> None:
    others = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run([sys.executable, "-c", LOOK], env=others | given, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == spin_count
