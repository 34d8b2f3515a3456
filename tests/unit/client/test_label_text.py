"""`--labels`, as people write it."""

from __future__ import annotations

import pytest

from ganserve.client._queries.labels import ClassKey, LabelsLike
from ganserve.client.cli.label_text import explain, parse_counts, parse_labels
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


FROM_ONE = ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tench, Tinca tinca", "tench, Tinca tinca"),
        ("dog,tench, Tinca tinca", ["dog", "tench, Tinca tinca"]),
        ("tench, Tinca tinca=2, a=b=1", {"tench, Tinca tinca": 2.0, "a=b": 1.0}),
        ("a=b", "a=b"),
    ],
)
def test_commas_and_equals_signs_in_a_classes_name_separate_nothing(text: str, expected: LabelsLike) -> None:
    assert parse_labels(text, class_names=["dog", "tench, Tinca tinca", "a=b"]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("dog=1100,frog=1400", {"dog": 1100, "frog": 1400}),
        ("0=2, 3=0", {0: 2, 3: 0}),
        ("1=2", {"1": 2}),
    ],
)
def test_counts_are_whole_numbers(text: str | None, expected: dict[ClassKey, int] | None) -> None:
    assert parse_counts(text, class_names=["1", "dog", "frog"]) == expected


@pytest.mark.parametrize("text", ["", "dog", "dog=", "=3", "dog=1.5", "dog=1,dog=2", "dog=1,,frog=2", "dog=1e3"])
def test_counts_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--counts"):
        parse_counts(text)


@pytest.mark.parametrize(
    ("text", "class_names", "says"),
    [
        ("1", FROM_ONE, "took 1 for the class named '1' (label 0)"),
        ("0", FROM_ONE, "took 0 for label 0 (the class named '1')"),
        ("5,0", FROM_ONE, "took 5 for the class named '5' (label 4), 0 for label 0 (the class named '1')"),
        ("2=0.5,3=0.5", FROM_ONE, "took 2 for the class named '2' (label 1), 3 for the class named '3' (label 2)"),
        ("1,2,1,2", FROM_ONE, "took 1 for the class named '1' (label 0), 2 for the class named '2' (label 1)"),
        ("9", FROM_ONE, ""),
        ("3", ["0", "1", "2", "3"], ""),
        ("1", ["cat", "dog"], ""),
        ("1", ["0", "1", "10"], "took 1 for the class named '1' (label 1)"),
        ("balanced", ["balanced", "odd"], "took balanced for the policy; for the class of that name write balanced=1"),
        ("balanced", FROM_ONE, ""),
        (None, FROM_ONE, ""),
    ],
)
def test_numbers_that_can_be_read_in_two_ways_are_explained(
    text: str | None, class_names: list[str], says: str
) -> None:
    assert explain(text, class_names) == says


def test_a_long_explanation_is_cut() -> None:
    class_names = [str(i) for i in range(1, 31)]
    assert explain(",".join(class_names), class_names).endswith("'5' (label 4), …")
