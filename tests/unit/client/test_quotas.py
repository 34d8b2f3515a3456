"""Real and synthetic images of each class."""

from __future__ import annotations

import math

import pytest

from ganserve.client.quotas import Quota, counted, equal_shares, is_even, topped_up
from ganserve.contract.errors import ConfigError

CATS_DOGS_FROGS = (1500, 400, 100)


def test_every_class_gets_the_same_share() -> None:
    quotas = equal_shares(CATS_DOGS_FROGS, 0.25)
    assert quotas == [
        Quota(real=1500, synthetic=375),
        Quota(real=400, synthetic=100),
        Quota(real=100, synthetic=25),
    ]
    assert is_even(quotas)


def test_balanced_classes_are_of_one_size_and_of_one_share() -> None:
    assert equal_shares(CATS_DOGS_FROGS, 0.25, balance=True) == [Quota(real=1500, synthetic=375)] * 3


def test_a_class_without_a_real_image_can_only_be_synthetic() -> None:
    quotas = equal_shares((100, 0), 0.5, balance=True)
    assert quotas == [Quota(real=100, synthetic=50), Quota(real=0, synthetic=150)]
    assert not is_even(quotas)
    assert equal_shares((100, 0), 0.5)[1] == Quota(real=0, synthetic=0)


def test_topping_up_makes_shares_differ() -> None:
    quotas = topped_up(CATS_DOGS_FROGS)
    assert quotas == [
        Quota(real=1500, synthetic=0),
        Quota(real=400, synthetic=1100),
        Quota(real=100, synthetic=1400),
    ]
    assert not is_even(quotas)


def test_counted_images_come_on_top_of_all_real_ones() -> None:
    assert counted((30, 12), (0, 5)) == [Quota(real=30, synthetic=0), Quota(real=12, synthetic=5)]
    assert is_even(counted((30, 12), (30, 12)))
    with pytest.raises(ConfigError, match="cannot be -1 synthetic images"):
        counted((30, 12), (0, -1))


@pytest.mark.parametrize("ratio", [-0.1, math.inf, math.nan])
def test_ratios_that_cannot_be(ratio: float) -> None:
    with pytest.raises(ConfigError, match="ratio"):
        equal_shares(CATS_DOGS_FROGS, ratio)


def test_there_must_be_real_images() -> None:
    for make in (topped_up, lambda counts: equal_shares(counts, 1.0)):
        with pytest.raises(ConfigError, match="no real images"):
            make((0, 0))
