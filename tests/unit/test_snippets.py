"""What runs the Python that documents print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGE = """# Page

```python
x = 1
```

## First

Not Python:

```text
x = 3
```

```python
y = x + 1
```

## Second

```python
z = 4
raise ValueError(z)
```
"""

RunDocument = Callable[..., dict[str, Any]]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    return page


def test_a_mistake_is_told_at_its_line_of_the_document(run_document: RunDocument, page: Path) -> None:
    with pytest.raises(ValueError, match="4") as caught:
        run_document(page)
    last = caught.traceback[-1]
    assert (str(last.path), last.lineno + 1) == (str(page), PAGE.splitlines().index("raise ValueError(z)") + 1)


def test_one_section_is_run_alone(run_document: RunDocument, page: Path) -> None:
    assert run_document(page, "")["x"] == 1
    with pytest.raises(NameError, match="x"):
        run_document(page, "First")


def test_a_section_without_code_is_a_mistake_of_the_test(run_document: RunDocument, page: Path) -> None:
    with pytest.raises(LookupError, match="prints no Python under 'Third'"):
        run_document(page, "Third")
