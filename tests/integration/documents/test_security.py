"""What docs/security.md prints."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Authority
from tests.snippets import DOCUMENTS

from ganserve.serving.scopes import _BY_SERVICE
from ganserve.serving.tokens import draw_token


def test_the_snippet_runs(
    run_document: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Authority(tmp_path)
    (tmp_path / "training.token").write_text(draw_token())
    names = run_document("security.md")
    assert repr(names["client"]) == "Client('grpcs://gpu.example:50051', model='pets', timeout_s=30)"


def test_every_service_stands_in_the_table() -> None:
    text = (DOCUMENTS / "security.md").read_text()
    for service in _BY_SERVICE:
        named = re.sub(r"^grpc\.reflection\..*", "grpc.reflection.*", service)
        assert f"`{named}`" in text
