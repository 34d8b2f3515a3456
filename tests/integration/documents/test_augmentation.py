"""Everything that docs/augmentation.md prints, but for what is too heavy to install: `make recipes-check` runs that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from tests.snippets import DOCUMENTS, Snippet, snippets_of

from ganserve.client.quotas import Quota
from ganserve.client.torch import MixedDataset

from .conftest import COUNTS

DOCUMENT = DOCUMENTS / "augmentation.md"
HEAVY = ("ray", "tensorflow", "nvidia")


def is_heavy(snippet: Snippet) -> bool:
    return any(f"import {name}" in snippet.code or f"from {name}" in snippet.code for name in HEAVY)


@pytest.mark.usefixtures("folder")
def test_every_snippet_that_can_run_here_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path))
    names: dict[str, object] = {"__name__": "documented"}
    snippets = snippets_of(DOCUMENT)
    snippets[0].run(names)
    check_recipe(names)
    for snippet in snippets[1:]:
        if not is_heavy(snippet):
            snippet.run(names)
    check_hugging_face(names["synthetic"])
    check_mappings(names["batch"])
    assert sum(map(is_heavy, snippets)) == len(HEAVY)


def check_recipe(names: dict[str, object]) -> None:
    mixed, images, labels = names["mixed"], names["images"], names["labels"]
    assert isinstance(mixed, MixedDataset)
    assert mixed.quotas == dict.fromkeys(COUNTS, Quota(real=40, synthetic=10))
    assert isinstance(images, torch.Tensor)
    assert isinstance(labels, torch.Tensor)
    assert (images.dtype, images.shape[1:]) == (torch.uint8, (3, 32, 32))
    assert labels.dtype == torch.int64


def check_hugging_face(synthetic: object) -> None:
    assert isinstance(synthetic, datasets.Dataset)
    assert synthetic.features["label"].names == list(COUNTS)
    assert np.bincount(synthetic["label"]).tolist() == [100] * 3


def check_mappings(batch: Any) -> None:
    assert (batch["image"].dtype, batch["image"].shape) == (torch.uint8, (64, 3, 32, 32))
    assert (batch["label"].dtype, batch["synthetic"].dtype) == (torch.int64, torch.bool)
