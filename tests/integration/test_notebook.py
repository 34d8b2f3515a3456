"""The notebook in examples/, run from its first cell to its last, and what is stored in it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"
MOST_BYTES = 300_000
CELL_TIMEOUT_S = 120


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def outputs(notebook: Any) -> list[list[tuple[str, ...]]]:
    """What each code cell gives: the kind of each output, and the forms that it has."""
    return [
        [(output.output_type, *sorted(set(output.get("data", ())) - {"image/jpeg"})) for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.fixture
def folder(models: Path, tmp_path: Path) -> Path:
    """A folder such as examples/, beside the bundle that the notebook opens."""
    shutil.copytree(models / "digits" / "1", tmp_path / "demo" / "models" / "digits" / "1")
    folder = tmp_path / "examples"
    folder.mkdir()
    return folder


def test_every_cell_runs_and_gives_what_is_stored(folder: Path) -> None:
    notebook = read()
    stored = outputs(notebook)
    NotebookClient(notebook, timeout=CELL_TIMEOUT_S, resources={"metadata": {"path": str(folder)}}).execute()
    assert outputs(notebook) == stored
    assert sum(("image/png" in forms) for cell in stored for forms in cell) == 9


def test_what_is_stored_is_small_and_tells_nothing_of_a_machine() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < MOST_BYTES
    notebook = read()
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert all(cell.metadata == {} for cell in notebook.cells)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not re.search(r"/(?:home|root|tmp|work|Users)/|20\d\d-\d\d-\d\d", text)
