from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sonic.client.regions import ALIGNMENT, MemoryUse, Region, RegionPool, layout, rounded

LIMIT = 1 << 20
SIZES = st.integers(1, LIMIT + 1)


def grown(pool: RegionPool, byte_size: int, name: str = "r") -> Region:
    growth = pool.grow(byte_size)
    assert growth is not None
    region = Region(name, growth.byte_size)
    pool.add(region, growth)
    return region


def test_a_region_is_used_again_and_again() -> None:
    pool = RegionPool(LIMIT)
    assert pool.take(1000) is None
    region = grown(pool, 1000)
    for _ in range(3):
        assert pool.take(1000) is region
        assert pool.take(1000) is None, "it holds one request at a time"
        pool.give_back(region)
    assert (pool.count, pool.byte_size) == (1, region.byte_size)


def test_the_smallest_that_is_large_enough() -> None:
    pool = RegionPool(1 << 30)
    large, small, middle = (grown(pool, size) for size in (500_000, 100_000, 250_000))
    assert pool.take(150_000) is middle
    assert pool.take(150_000) is large
    assert pool.take(150_000) is None
    assert pool.take(100_000) is small


def test_a_large_region_is_kept_for_large_requests() -> None:
    pool = RegionPool(1 << 30)
    large = grown(pool, 10_000_000)
    assert pool.take(100_000) is None
    assert pool.take(5_000_000) is large


def test_requests_that_grow_replace_the_region_and_others_have_one_beside_it() -> None:
    pool = RegionPool(1 << 30)
    first = grown(pool, 100_000)
    growth = pool.grow(150_000)
    assert growth is not None
    assert growth.instead_of == (first,)
    pool.add(Region("r", growth.byte_size), growth)
    growth = pool.grow(10_000_000)
    assert growth is not None
    assert growth.instead_of == ()
    pool.give_up(growth)
    assert (pool.count, pool.byte_size) == (1, rounded(150_000))


def test_smaller_regions_make_room_but_not_those_that_are_lent() -> None:
    pool = RegionPool(300_000)
    kept = grown(pool, 65_536)
    assert pool.take(65_536) is kept
    gone = grown(pool, 65_536)
    growth = pool.grow(200_000)
    assert growth is not None
    assert growth.instead_of == (gone,)
    pool.give_up(growth)
    assert pool.grow(250_000) is None
    assert pool.grow(300_001) is None


def test_a_region_that_is_replaced_makes_room_for_the_larger_one() -> None:
    pool = RegionPool(200_000)
    gone, kept = grown(pool, 80_000), grown(pool, 65_536)
    growth = pool.grow(110_000)
    assert growth is not None
    assert growth.instead_of == (gone,)
    assert pool.take(65_536) is kept


def test_what_the_server_may_still_have_counts_until_it_is_forgotten() -> None:
    pool = RegionPool(100_000)
    region = grown(pool, 65_536)
    assert pool.take(65_536) is region
    pool.drop(region)
    assert pool.count == 0
    assert pool.grow(65_536) is None
    pool.forgotten(region)
    assert pool.grow(65_536) is not None


def test_a_region_that_is_not_lent_cannot_be_given_back() -> None:
    pool = RegionPool(LIMIT)
    region = grown(pool, 1)
    with pytest.raises(KeyError):
        pool.give_back(region)


@given(st.integers(1, 1 << 40))
def test_a_size_is_rounded_up_by_a_quarter_at_most(size: int) -> None:
    assert size <= rounded(size) <= max(size * 1.25, 1 << 16)
    assert rounded(rounded(size)) == rounded(size)


@given(st.lists(st.integers(0, 10_000)), st.integers(0, 1000))
def test_tensors_are_aligned_and_do_not_overlap(sizes: list[int], start: int) -> None:
    spans, end = layout(((str(i), size) for i, size in enumerate(sizes)), start)
    previous = start
    for i, size in enumerate(sizes):
        offset, given_size = spans[str(i)]
        assert given_size == size
        assert offset % ALIGNMENT == 0
        assert offset >= previous
        previous = offset + size
    assert end == previous


class Pools(RuleBasedStateMachine):
    """Whatever is asked of a pool in whatever order, it keeps its limit and lends nothing twice."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = RegionPool(LIMIT)
        self.lent: list[Region] = []
        self.dropped: list[Region] = []
        self.gone: set[Region] = set()

    @rule(size=SIZES)
    def take(self, size: int) -> None:
        region = self.pool.take(size)
        if region is not None:
            assert region.byte_size >= size
            assert region not in self.lent
            assert region not in self.dropped
            assert region not in self.gone
            self.lent.append(region)

    @rule(size=SIZES, works=st.booleans())
    def grow(self, size: int, works: bool) -> None:
        growth = self.pool.grow(size)
        if growth is None:
            return
        assert growth.byte_size >= size
        assert not set(growth.instead_of) & set(self.lent)
        self.gone.update(growth.instead_of)
        if works:
            self.pool.add(Region("r", growth.byte_size), growth)
        else:
            self.pool.give_up(growth)

    @precondition(lambda self: self.lent)
    @rule(data=st.data(), sure=st.booleans())
    def end(self, data: st.DataObject, sure: bool) -> None:
        region = self.lent.pop(data.draw(st.integers(0, len(self.lent) - 1)))
        if sure:
            self.pool.give_back(region)
        else:
            self.pool.drop(region)
            self.dropped.append(region)

    @rule()
    def drop_free(self) -> None:
        self.dropped += self.pool.drop_free()

    @precondition(lambda self: self.dropped)
    @rule()
    def forget(self) -> None:
        self.pool.forgotten(self.dropped.pop())

    @invariant()
    def keeps_the_limit(self) -> None:
        assert self.pool.byte_size <= LIMIT
        assert self.pool.byte_size >= sum(region.byte_size for region in (*self.lent, *self.dropped))


TestPools = Pools.TestCase


def test_use_begins_at_nothing() -> None:
    assert MemoryUse() == MemoryUse(0, 0, 0, 0, "")
