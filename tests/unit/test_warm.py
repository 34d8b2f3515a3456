"""Warm processes end as processes of their own do."""

from __future__ import annotations

from ..warm import run_python

PROGRAM = """
import atexit, sys

def leave():
    print("left")
    raise RuntimeError("too late to matter")

atexit.register(leave)
sys.exit(3)
"""


def test_functions_of_the_exit_run_and_leave_the_exit_code_alone() -> None:
    ended = run_python("-c", PROGRAM)
    assert (ended.returncode, ended.stdout) == (3, "left\n")
    assert "too late to matter" in ended.stderr
