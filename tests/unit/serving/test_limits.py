from __future__ import annotations

import pytest

from ganserve.contract.errors import InvalidRequestError
from ganserve.serving.limits import Limits

MIB = 1024**2


def limits_of(side: int, *, num_lanes: int = 16, max_batch: int = 32, max_queued_rows: int = 16_384) -> Limits:
    return Limits.of(side * side * 3, num_lanes=num_lanes, max_batch=max_batch, max_queued_rows=max_queued_rows)


@pytest.mark.parametrize("side", [8, 64, 256, 512, 1024])
def test_a_stream_runs_ahead_by_a_bounded_number_of_bytes(side: int) -> None:
    limits = limits_of(side)
    part_size = limits.part_size(None)
    assert limits.reply_bytes(part_size) * limits.parts_ahead(part_size) <= 64 * MIB


def test_a_stream_of_small_images_keeps_all_lanes_busy() -> None:
    limits = limits_of(32)
    part_size = limits.part_size(None)
    assert part_size * limits.parts_ahead(part_size) >= 2 * 16 * 32


def test_even_the_largest_images_have_two_parts_under_way() -> None:
    assert limits_of(16_384).parts_ahead(1) == 2


def test_a_part_holds_what_was_asked_for_and_what_fits() -> None:
    limits = limits_of(32)
    assert limits.part_size(None) == MIB // (32 * 32 * 3)
    assert limits.part_size(7) == 7
    assert limits.part_size(10**6) == limits.part_size(None)
    assert limits_of(8, max_queued_rows=100).part_size(None) == 50
    with pytest.raises(InvalidRequestError, match="max_batch_size is 0"):
        limits.part_size(0)


def test_a_request_that_does_not_fit_a_reply_is_refused() -> None:
    limits = limits_of(512)
    assert limits.samples_per_request == 3
    limits.check_request(3, field="query.address.count")
    with pytest.raises(InvalidRequestError, match="one reply cannot hold 4 samples; this model makes 1 to 3"):
        limits.check_request(4, field="query.address.count")
    assert limits_of(2048).samples_per_request == 1


def test_models_that_share_a_call_run_no_more_rows_for_it_than_each_would_alone() -> None:
    small, large = limits_of(32), limits_of(64)
    alone = Limits.shared([(small, 1)])
    assert (alone.samples_per_request, alone.samples_per_part) == (small.samples_per_request, small.samples_per_part)
    shared = Limits.shared([(small, 4), (small, 4), (large, 1)])
    assert shared.sample_bytes == large.sample_bytes
    assert shared.samples_per_request == min(small.samples_per_request // 4, large.samples_per_request)
    assert shared.samples_per_part == min(small.samples_per_part // 4, large.samples_per_part)
    assert shared.samples_ahead == min(small.samples_ahead // 4, large.samples_ahead)


def test_one_sample_may_always_be_asked_for() -> None:
    tightest = limits_of(2048, num_lanes=1, max_batch=1, max_queued_rows=1)
    shared = Limits.shared([(tightest, 64), (tightest, 64)])
    assert (shared.samples_per_request, shared.samples_per_part, shared.samples_ahead) == (1, 1, 1)
