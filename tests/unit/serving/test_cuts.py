from __future__ import annotations

import pytest

from ganserve.serving.cuts import Cut, why_cut


@pytest.mark.parametrize(
    ("num_rows", "num_left", "num_planned", "num_waiting", "num_lanes", "cut"),
    [
        (3, 0, 3, 3, 1, Cut.DRAINED),
        (8, 0, 8, 8, 1, Cut.DRAINED),
        (8, 12, 8, 20, 1, Cut.FULL),
        (5, 5, 5, 10, 2, Cut.DIVIDED),
        (4, 3, 4, 7, 1, Cut.SIZED),
        (2, 5, 7, 7, 1, Cut.PRIORITY),
    ],
)
def test_what_ended_a_batch(
    num_rows: int, num_left: int, num_planned: int, num_waiting: int, num_lanes: int, cut: Cut
) -> None:
    assert cut is why_cut(
        num_rows, num_left, num_planned=num_planned, num_waiting=num_waiting, num_lanes=num_lanes, max_batch=8
    )
