"""Who reads what of a stream: the arithmetic, for any number of readers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ganserve.client.torch._shards import Layout, Place, Shard, Span, Unused, join, used_by_all

layouts = st.builds(Layout, st.integers(1, 4), st.integers(1, 4), st.integers(1, 7))


def positions(spans: list[Span]) -> list[int]:
    return [position for span in spans for position in range(*span)]


def shards(layout: Layout, used: list[Span], length: int) -> dict[Place, Shard]:
    return {place: Shard(Unused(used, length), layout, layout.shard(place)) for place in layout.places()}


@given(layout=layouts, length=st.integers(0, 200))
def test_every_position_belongs_to_one_shard(layout: Layout, length: int) -> None:
    read = [list(shard.spans(0, shard.count)) for shard in shards(layout, [], length).values()]
    assert sorted(position for spans in read for position in positions(spans)) == list(range(length))
    assert [len(positions(spans)) for spans in read] == [shard.count for shard in shards(layout, [], length).values()]


@given(layout=layouts, length=st.integers(0, 200), start=st.integers(0, 60), stop=st.integers(0, 60))
def test_any_part_of_a_shard_can_be_told(layout: Layout, length: int, start: int, stop: int) -> None:
    shard = Shard.of_all(length, layout, layout.num_shards - 1)
    everything = positions(list(shard.spans(0, shard.count)))
    assert positions(list(shard.spans(start, stop))) == everything[start:stop]


@given(
    layouts=st.lists(layouts, min_size=1, max_size=4),
    length=st.integers(1, 200),
    data=st.data(),
)
def test_no_change_of_readers_loses_or_repeats_a_position(
    layouts: list[Layout], length: int, data: st.DataObject
) -> None:
    used: list[Span] = []
    read: list[int] = []
    for layout in layouts:
        taken = {}
        for place, shard in shards(layout, used, length).items():
            taken[place] = data.draw(st.integers(0, shard.count))
            read += positions(list(shard.spans(0, taken[place])))
        used = used_by_all(used, length, layout, taken)
        assert sorted(read) == positions(used)
    for shard in shards(layouts[0], used, length).values():
        read += positions(list(shard.spans(0, shard.count)))
    assert sorted(read) == list(range(length))


@given(layout=layouts, num_batches=st.integers(0, 20))
def test_what_has_been_used_is_one_number_where_a_batch_is_a_block(layout: Layout, num_batches: int) -> None:
    """Rank by rank in step, each asking its workers in turns, as a `DataLoader` does."""
    size, length = layout.block_size, 10**6
    taken = dict.fromkeys(layout.places(), 0)
    for batch in range(num_batches):
        for rank in range(layout.num_ranks):
            taken[Place(rank, batch % layout.num_workers)] += size
    used = used_by_all([], length, layout, taken)
    assert used == join([Span(0, num_batches * size * layout.num_ranks)])


def test_far_into_an_endless_stream() -> None:
    layout = Layout(8, 4, 64)
    taken = dict.fromkeys(layout.places(), 64 * 10**9)
    assert used_by_all([], 2**40, layout, taken)[0].start == 0
    assert positions(list(Shard.of_all(2**62, layout, 3).spans(64 * 10**9, 64 * 10**9 + 2))) == [
        64 * (10**9 * 32 + 3),
        64 * (10**9 * 32 + 3) + 1,
    ]
