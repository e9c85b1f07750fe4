"""What stays when there is not room for all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.stored_response import ENTRY_BYTES, StoredResponse
from proxy.policy.stored_table import StoredTable


def stored(size: int = 0) -> StoredResponse:
    """One that takes `size` bytes besides its overhead."""
    return StoredResponse(200, b"", bytes(size), arrived_at=0.0, age=0.0, fresh_for=0.0)


def entry(size: int) -> int:
    """Bytes of a body with which an entry with a key of one byte takes `size`."""
    return size - ENTRY_BYTES - 1


def test_what_is_put_is_found_until_it_is_dropped() -> None:
    table = StoredTable(1 << 20)
    first, second = stored(), stored()
    table.put(b"a", first)
    assert table.get(b"a") is first
    table.put(b"a", second)
    assert table.get(b"a") is second
    assert len(table) == 1
    table.drop(b"a")
    table.drop(b"b")
    assert table.get(b"a") is None
    assert table.get(b"b") is None


def test_keys_and_overhead_count() -> None:
    table = StoredTable(1 << 20)
    table.put(bytes(100), stored(500))
    table.put(b"names", (b"accept",))
    assert table.bytes == 100 + 500 + ENTRY_BYTES + 5 + ENTRY_BYTES


def test_what_is_over_a_tenth_of_it_all_is_not_taken_and_what_was_there_is_gone() -> None:
    table = StoredTable(100_000)
    table.put(b"a", stored(entry(10_000)))
    assert table.get(b"a") is not None
    table.put(b"a", stored(entry(10_001)))
    assert table.get(b"a") is None
    table.put(b"b", stored(entry(10_001)))
    assert table.get(b"b") is None


def test_a_flood_of_keys_that_nobody_asks_for_again_pushes_out_nothing_that_is_used() -> None:
    table = StoredTable(1_000_000)
    used = [b"used %d" % number for number in range(80)]
    for key in used:
        table.put(key, stored(9_000))
    for key in used * 2:
        table.get(key)
    for number in range(10_000):
        table.put(b"flood %d" % number, stored(9_000))
        assert table.bytes <= 1_000_000
    assert [key for key in used if table.get(key) is None] == []


def test_what_comes_back_soon_after_it_left_stays() -> None:
    table = StoredTable(100_000)
    for number in range(12):
        table.put(b"first %d" % number, stored(8_000))
    assert table.get(b"first 0") is None
    table.put(b"first 0", stored(8_000))
    for number in range(100):
        table.put(b"more %d" % number, stored(8_000))
    assert table.get(b"first 0") is not None


def test_of_all_that_is_used_the_oldest_leaves_first() -> None:
    table = StoredTable(100_000)
    for number in range(30):
        table.put(b"%d" % number, stored(8_000))
        table.get(b"%d" % number)
        table.get(b"%d" % number)
    assert table.get(b"29") is not None
    assert table.get(b"0") is None


def test_less_memory_is_in_force_at_once() -> None:
    table = StoredTable(100_000)
    for number in range(10):
        table.put(b"%d" % number, stored(7_000))
    table.limit(50_000)
    assert 0 < table.bytes <= 50_000
    table.limit(0)
    assert (table.bytes, len(table)) == (0, 0)


KEYS = st.sampled_from([b"%d" % number for number in range(30)])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.integers(0, 9_000)),
        st.tuples(st.just("get"), KEYS, st.just(0)),
        st.tuples(st.just("drop"), KEYS, st.just(0)),
        st.tuples(st.just("limit"), KEYS, st.integers(20_000, 100_000)),
    ),
    max_size=200,
)


@given(STEPS)
def test_it_never_holds_more_than_it_may_and_nothing_but_what_was_put_last(
    steps: list[tuple[str, bytes, int]],
) -> None:
    table = StoredTable(100_000)
    put: dict[bytes, StoredResponse] = {}
    for what, key, number in steps:
        if what == "put":
            put[key] = stored(number)
            table.put(key, put[key])
        elif what == "drop":
            put.pop(key, None)
            table.drop(key)
        elif what == "limit":
            table.limit(number)
        found = table.get(key)
        assert found is None or found is put.get(key)
        assert table.bytes <= table.most_bytes
        entries = [*table._small, *table._main]
        assert sum(each.size for each in entries) == table.bytes
        assert sum(each.size for each in table._small) == table._small_bytes
        assert {each.key for each in entries} == table._entries.keys()
        assert len(entries) == len(table)


@pytest.mark.parametrize("rounds", [5_000])
def test_keys_that_come_and_go_leave_nothing_behind(rounds: int) -> None:
    table = StoredTable(1 << 20)
    for number in range(rounds):
        table.put(b"%d" % (number % 7), stored())
        table.drop(b"%d" % (number % 7))
    assert len(table._small) + len(table._main) == 7
