"""The table of docs/reliability.md, held against the tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def rows() -> list[list[str]]:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in lines[1:]]


def noting_tests() -> Iterator[str]:
    """The tests that note what they see."""
    for file in (ROOT / "tests" / "faults").glob("test_*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and "note" in {argument.arg for argument in node.args.args}:
                yield f"{file.relative_to(ROOT)}::{node.name}"


def test_every_row_says_what_is_expected_what_was_seen_and_what_shows_it() -> None:
    assert rows()
    assert not [row for row in rows() if len(row) != 5 or not all(row)]


def test_every_row_is_shown_by_a_test_or_a_command_and_every_such_test_has_a_row() -> None:
    shown_by = {row[-1].strip("`") for row in rows()}
    commands = {name for name in shown_by if name.startswith("python ")}
    assert shown_by - commands == set(noting_tests())
    assert all((ROOT / command.split()[1]).is_file() for command in commands)
