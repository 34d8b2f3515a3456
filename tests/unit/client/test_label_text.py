"""`--labels`, as people write it."""

from __future__ import annotations

import pytest

from ganserve.client._label_text import parse_labels
from ganserve.client._labels import LabelsLike
from ganserve.contract.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("3", 3),
        ("-1", -1),
        ("cat", "cat"),
        ("balanced", "balanced"),
        ("0, 1,cat", [0, 1, "cat"]),
        ("0=0.9,cat=0.1", {0: 0.9, "cat": 0.1}),
    ],
)
def test_numbers_are_labels_and_words_are_names(text: str | None, expected: LabelsLike | None) -> None:
    assert parse_labels(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("10", "10"), ("3", 3), ("1,10,2", ["1", "10", 2]), ("1=2", {"1": 2.0})]
)
def test_a_number_that_is_a_classes_name_means_that_class(text: str, expected: LabelsLike) -> None:
    assert parse_labels(text, class_names=["1", "10", "cat"]) == expected


@pytest.mark.parametrize("text", ["", "1,,2", "1=a", "1=1,1=2", "1=1,2"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--labels"):
        parse_labels(text)
