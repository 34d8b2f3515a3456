"""Which calls travel together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganserve.client._transport.ask import Ask
from ganserve.client._transport.gathering import Gathering, Passenger
from ganserve.client._transport.joint_call import group_left_s, group_request
from ganserve.v1.generator_pb2 import (
    ExplicitLatents,
    GenerateManyRequest,
    GenerateRequest,
    GetModelRequest,
    SampleAddress,
    SampleQuery,
)


def request(seed: int = 0, num_bytes: int = 0) -> GenerateRequest:
    latents = ExplicitLatents(values=bytes(num_bytes))
    return GenerateRequest(
        query=SampleQuery(latents=latents) if num_bytes else SampleQuery(address=SampleAddress(seed=seed))
    )


@dataclass(eq=False)
class Call:
    passenger: Passenger
    is_done: bool = False

    def done(self) -> bool:
        return self.is_done


def call(share: float = 0.01, num_bytes: int = 0) -> Call:
    return Call(Passenger(request(num_bytes=num_bytes), share, 10.0))


def gathering(*calls: Call) -> Gathering[Call]:
    """Calls that gather while as many are under way as may be."""
    made: Gathering[Call] = Gathering()
    for first in (call(), call()):
        made.add(first)
        assert made.next_group() == [first]
    for one in calls:
        made.add(one)
    return made


def test_the_first_calls_go_at_once_and_those_behind_them_together() -> None:
    calls = [call() for _ in range(5)]
    gathered = gathering(*calls)
    assert gathered.next_group() == []
    gathered.end_one()
    assert gathered.next_group() == calls
    assert gathered.next_group() == []
    assert len(gathered) == 0


def test_in_a_hurry_they_leave_whatever_is_under_way() -> None:
    calls = [call(), call()]
    gathered = gathering(*calls)
    assert gathered.next_group(hurry=True) == calls
    gathered.end_one()
    gathered.add(call())
    assert gathered.next_group() == []


def test_those_that_nobody_waits_for_stay_behind() -> None:
    calls = [call(), call(), call()]
    calls[0].is_done = calls[2].is_done = True
    gathered = gathering(*calls)
    gathered.end_one()
    assert gathered.next_group() == [calls[1]]


def test_where_nobody_is_left_nothing_is_under_way() -> None:
    done = call()
    done.is_done = True
    gathered = gathering(done)
    gathered.end_one()
    assert gathered.next_group() == []
    gathered.add(late := call())
    assert gathered.next_group() == [late]


def test_a_server_that_takes_one_at_a_time_gets_one_at_a_time() -> None:
    calls = [call(), call(), call()]
    gathered = gathering(*calls)
    gathered.is_over = True
    assert [gathered.next_group() for _ in range(4)] == [[calls[0]], [calls[1]], [calls[2]], []]


@given(st.lists(st.tuples(st.floats(0.001, 0.25), st.integers(0, 2**18)), min_size=1, max_size=200))
def test_a_group_fits_one_reply_and_one_request(sizes: list[tuple[float, int]]) -> None:
    calls = [call(share, num_bytes) for share, num_bytes in sizes]
    gathered = gathering(*calls)
    left: list[Call] = []
    while len(gathered):
        gathered.end_one()
        group = gathered.next_group()
        assert 0 < len(group) <= 64
        assert len(group) == 1 or sum(one.passenger.share for one in group) <= 1
        assert sum(one.passenger.num_bytes for one in group) <= 2**20 + 2**10
        left += group
    assert left == calls


@pytest.mark.parametrize(
    ("asked", "travels"),
    [
        (Ask("Generate", request(), str, share=0.01), True),
        (Ask("Generate", request(), str, share=0.25), True),
        (Ask("Generate", request(), str, share=0.3), False),
        (Ask("Generate", request(), str), False),
        (Ask("Generate", request(num_bytes=300_000), str, share=0.01), False),
        (Ask("GetModel", GetModelRequest(), str, share=0.01), False),
    ],
)
def test_only_small_calls_for_samples_travel_with_others(asked: Ask[Any], travels: bool) -> None:
    assert (Passenger.of(asked, 1.0) is not None) == travels


def test_each_request_has_its_own_time_and_all_have_the_longest() -> None:
    group = [Passenger(request(seed), 0.1, left_s) for seed, left_s in enumerate((1.0, 50.0, 0.0))]
    sent = group_request(group)
    assert isinstance(sent, GenerateManyRequest)
    assert [one.request.query.address.seed for one in sent.requests] == [0, 1, 2]
    first, second, third = (one.remaining_s for one in sent.requests)
    assert 0 < first <= 1 < second <= 50
    assert third == 0
    longest_s = group_left_s(group)
    assert longest_s is not None
    assert 1 < longest_s <= 50


def test_a_call_without_a_bound_leaves_all_without_one() -> None:
    group = [Passenger(request(), 0.1, 1.0), Passenger(request(), 0.1, None)]
    assert group_left_s(group) is None
    sent = group_request(group)
    assert isinstance(sent, GenerateManyRequest)
    assert not sent.requests[1].HasField("remaining_s")
    assert math.isclose(sent.requests[0].remaining_s, 1.0, abs_tol=0.5)


def test_a_call_alone_is_sent_as_it_is() -> None:
    assert group_request([Passenger(request(7), 0.1, 1.0)]) == request(7)
