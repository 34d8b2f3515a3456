"""The training loop that the README prints."""

from __future__ import annotations

from typing import Any

import pytest
from tests.snippets import DOCUMENTS, snippets_of

from ganserve.client import Client
from ganserve.client.quotas import Quota

from .conftest import COUNTS


@pytest.mark.usefixtures("folder")
def test_ten_lines_lead_from_an_uneven_folder_to_a_balanced_loader() -> None:
    (recipe,) = (snippet for snippet in snippets_of(DOCUMENTS.parent / "README.md") if "import mix" in snippet.code)
    names: dict[str, Any] = {"Client": Client}
    recipe.run(names)
    assert names["mixed"].quotas == dict.fromkeys(COUNTS, Quota(real=40, synthetic=10))
    assert names["images"].shape[1:] == (3, 32, 32)
