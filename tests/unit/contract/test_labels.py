from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.labels import sample_labels
from ganserve.v1.generator_pb2 import (
    Balanced,
    ClassBlock,
    ClassBlocks,
    ClassList,
    ClassReference,
    ClassWeight,
    LabelPolicy,
    Uniform,
    Weighted,
)

DIGITS = [str(digit) for digit in range(10)]


def label(index: int) -> ClassReference:
    return ClassReference(label=index)


def weighted(*weights: tuple[int, float]) -> LabelPolicy:
    entries = [ClassWeight(class_reference=label(index), weight=weight) for index, weight in weights]
    return LabelPolicy(weighted=Weighted(weights=entries))


def blocks(*counts: tuple[int, int]) -> LabelPolicy:
    entries = [ClassBlock(class_reference=label(index), count=count) for index, count in counts]
    return LabelPolicy(blocks=ClassBlocks(blocks=entries))


POLICIES = {
    "one": LabelPolicy(one=label(3)),
    "list": LabelPolicy(list=ClassList(classes=[label(4), label(1), ClassReference(name="9")])),
    "balanced": LabelPolicy(balanced=Balanced()),
    "weighted": weighted((0, 1.0), (5, 3.0)),
    "uniform": LabelPolicy(uniform=Uniform()),
}


def test_golden_labels() -> None:
    """Frozen: labels belong to the address of a sample."""
    drawn = {name: sample_labels(policy, DIGITS, 42, 0, 64) for name, policy in POLICIES.items()}
    digest = hashlib.sha256(b"".join(labels.astype("<i8").tobytes() for labels in drawn.values())).hexdigest()
    assert drawn["balanced"][:10].tolist() == [9, 1, 3, 6, 0, 4, 5, 7, 2, 8]
    assert drawn["uniform"][:10].tolist() == [3, 5, 9, 7, 4, 0, 5, 1, 3, 9]
    assert drawn["weighted"][:10].tolist() == [5, 5, 5, 5, 5, 0, 5, 0, 5, 5]
    assert digest == "1d7849e18fe77bb4b694d9883ddda7f2f6d5c6364e7db43c9150df437e1654d4"


EVERY_POLICY = POLICIES | {"blocks": blocks((2, 3), (7, 0), (5, 9), (2, 1))}


@pytest.mark.parametrize("policy", EVERY_POLICY.values(), ids=EVERY_POLICY.keys())
@given(seed=st.integers(0, 2**64 - 1), first=st.integers(0, 2**64 - 100), offset=st.integers(0, 39))
def test_a_label_does_not_depend_on_the_range_it_is_drawn_in(
    policy: LabelPolicy, seed: int, first: int, offset: int
) -> None:
    together = sample_labels(policy, DIGITS, seed, first, 40)
    assert sample_labels(policy, DIGITS, seed, first + offset, 1)[0] == together[offset]


@given(seed=st.integers(0, 2**64 - 1), num_classes=st.integers(1, 23), window=st.integers(0, 2**50))
def test_every_window_of_a_balanced_policy_holds_each_class_once(seed: int, num_classes: int, window: int) -> None:
    names = [str(i) for i in range(num_classes)]
    drawn = sample_labels(LabelPolicy(), names, seed, window * num_classes, num_classes)
    assert sorted(drawn.tolist()) == list(range(num_classes))


def test_weights_are_followed() -> None:
    drawn = sample_labels(POLICIES["weighted"], DIGITS, 1, 0, 20_000)
    counts = np.bincount(drawn, minlength=10)
    assert set(np.flatnonzero(counts)) == {0, 5}
    assert abs(counts[5] / 20_000 - 0.75) < 0.02


def test_uniform_reaches_every_class_about_equally() -> None:
    counts = np.bincount(sample_labels(POLICIES["uniform"], DIGITS, 1, 0, 20_000), minlength=10)
    assert counts.min() > 1800
    assert counts.max() < 2200


def test_a_list_repeats_along_the_index() -> None:
    assert sample_labels(POLICIES["list"], DIGITS, None, 2, 5).tolist() == [9, 4, 1, 9, 4]


def test_blocks_follow_one_another_and_begin_again() -> None:
    policy = blocks((4, 2), (1, 0), (0, 3), (9, 1))
    assert sample_labels(policy, DIGITS, None, 0, 12).tolist() == [4, 4, 0, 0, 0, 9, 4, 4, 0, 0, 0, 9]
    assert sample_labels(policy, DIGITS, None, 2**64 - 5, 5).tolist() == [9, 4, 4, 0, 0]


@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=10), first=st.integers(0, 2**64 - 200))
def test_as_many_indices_as_the_counts_add_up_to_hold_them_exactly(counts: list[int], first: int) -> None:
    total = sum(counts)
    assume(total)
    drawn = sample_labels(blocks(*enumerate(counts)), DIGITS, None, first, total)
    assert np.bincount(drawn, minlength=len(counts)).tolist() == counts


def test_blocks_may_be_longer_than_any_list() -> None:
    policy = blocks((0, 2**62), (1, 2**63))
    assert sample_labels(policy, DIGITS, None, 2**62 - 2, 4).tolist() == [0, 0, 1, 1]


def test_numbers_that_are_names_but_not_labels_are_told_apart() -> None:
    names = ["1", "2", "3"]
    assert sample_labels(LabelPolicy(one=label(1)), names, 0, 0, 1).tolist() == [1]
    assert sample_labels(LabelPolicy(one=ClassReference(name="1")), names, 0, 0, 1).tolist() == [0]
    with pytest.raises(InvalidRequestError, match=r"label 3 is not one of 0 to 2 .*the text '3', or label 2"):
        sample_labels(LabelPolicy(one=label(3)), names, 0, 0, 1)
    with pytest.raises(InvalidRequestError, match=r"no class '0'.*for label 0 give the whole number"):
        sample_labels(LabelPolicy(one=ClassReference(name="0")), names, 0, 0, 1)


@pytest.mark.parametrize(
    ("policy", "field", "message"),
    [
        (blocks(), "query.labels.blocks", "add up to 0"),
        (blocks((1, 0)), "query.labels.blocks", "add up to 0"),
        (blocks((1, 2**63), (2, 2**63)), "query.labels.blocks", "add up to 18446744073709551616"),
        (blocks((1, 1), (77, 1)), "query.labels.blocks.blocks[1].class_reference", "label 77"),
        (LabelPolicy(one=label(-1)), "query.labels.one", "label -1 is not one of 0 to 9"),
        (LabelPolicy(one=label(10)), "query.labels.one", "label 10 is not one of 0 to 9"),
        (
            LabelPolicy(one=ClassReference(name="cat")),
            "query.labels.one",
            "there is no class 'cat'; the classes are '0'",
        ),
        (LabelPolicy(list=ClassList()), "query.labels.list.classes", "is empty"),
        (LabelPolicy(list=ClassList(classes=[label(1), label(77)])), "query.labels.list.classes[1]", "label 77"),
        (weighted((1, -0.5)), "query.labels.weighted.weights[0].weight", "not negative"),
        (weighted((1, float("nan"))), "query.labels.weighted.weights[0].weight", "finite"),
        (weighted((1, 0.0)), "query.labels.weighted", "add up to 0"),
        (LabelPolicy(weighted=Weighted()), "query.labels.weighted", "add up to 0"),
    ],
)
def test_unusable_policies_are_refused(policy: LabelPolicy, field: str, message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        sample_labels(policy, DIGITS, 1, 0, 4)
    assert message in str(caught.value)
    assert caught.value.field == field


@pytest.mark.parametrize("name", ["balanced", "weighted", "uniform"])
def test_drawing_policies_need_a_seed(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="explicit latents have none"):
        sample_labels(POLICIES[name], DIGITS, None, 0, 4)
