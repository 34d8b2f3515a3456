"""Everything that docs/clients.md prints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from .snippets import DOCUMENTS, run_document, snippets_of

DOCUMENT = DOCUMENTS / "clients.md"


@pytest.mark.usefixtures("reader")
def test_every_snippet_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names = run_document(DOCUMENT)
    assert len(names["batch"]) == 64
    assert not names["failures"]
    np.testing.assert_array_equal(names["here"].numpy(), names["there"].numpy())
    assert "64 samples of pets" in capsys.readouterr().out


def test_a_mistake_is_told_at_its_line_of_the_document(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("# Page\n\n```python\nx = 1\n```\n\ntext\n\n```python\ny = x + 1\nraise ValueError(y)\n```\n")
    assert [snippet.line for snippet in snippets_of(document)] == [4, 10]
    with pytest.raises(ValueError, match="2") as caught:
        run_document(document)
    last = caught.traceback[-1]
    assert (str(last.path), last.lineno) == (str(document), 10)  # counted from 0
