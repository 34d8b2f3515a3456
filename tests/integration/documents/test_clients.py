"""Everything that docs/clients.md prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.snippets import DOCUMENTS

from ganserve.client import AsyncClient, Client, LocalGenerator

KINDS = (Client, AsyncClient, LocalGenerator)
WHO = {"(the two clients)": KINDS[:2], "(`Client`, `LocalGenerator`)": (Client, LocalGenerator)}


@pytest.mark.usefixtures("reader")
def test_every_snippet_runs(run_document: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    names = run_document("clients.md")
    np.testing.assert_array_equal(names["here"].numpy(), names["there"].numpy())
    np.testing.assert_array_equal(names["cats"].indices, names["like_these"].indices)
    assert len(names["large"]) == 5_000
    assert names["failures"] == []
    assert "<64 samples of pets:1@" in capsys.readouterr().out


def test_the_table_has_every_method_and_says_who_lacks_it() -> None:
    _, table = (DOCUMENTS / "clients.md").read_text().split("| method | gives |\n")
    told: dict[str, tuple[type, ...]] = {}
    for row in table.partition("\n\n")[0].splitlines()[1:]:
        names, gives = row.strip("| ").split(" | ")
        who = next((kinds for remark, kinds in WHO.items() if gives.endswith(remark)), KINDS)
        told |= dict.fromkeys(names.replace("`", "").split(", "), who)
    methods = {name for kind in KINDS for name in vars(kind) if not name.startswith("_")}
    assert told == {name: tuple(kind for kind in KINDS if hasattr(kind, name)) for name in methods}
