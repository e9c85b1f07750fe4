from math import inf

from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.key_table import LOOKS_PER_INSERT, OVERFLOW_CELLS, KeyTable


def key(number: int) -> bytes:
    return b"=%d" % number


def full_table(max_keys: int, tat: float) -> KeyTable:
    table = KeyTable(max_keys)
    for number in range(max_keys):
        table.set(key(number), tat, now=0.0)
    return table


def in_the_cell_of(other: bytes) -> bytes:
    """Another key that shares the overflow cell of `other`."""
    number = 1_000_000
    while (hash(key(number)) ^ hash(other)) % OVERFLOW_CELLS:
        number += 1
    return key(number)


def test_a_key_that_was_never_set_reads_the_distant_past() -> None:
    assert KeyTable(4).get(b"new") == -inf


def test_what_was_set_is_read() -> None:
    table = KeyTable(4)
    table.set(b"a", 2.0, now=1.0)
    table.set(b"b", 3.0, now=1.0)
    table.set(b"a", 4.0, now=1.0)
    assert (table.get(b"a"), table.get(b"b"), len(table)) == (4.0, 3.0, 2)


def test_a_flood_of_new_keys_drops_no_live_entry() -> None:
    table = full_table(8, tat=100.0)
    for number in range(8, 5000):
        table.set(key(number), 100.0, now=1.0)
    assert [table.get(key(number)) for number in range(8)] == [100.0] * 8
    assert len(table) == 8


def test_a_key_that_finds_the_table_full_is_bound_by_its_cell() -> None:
    table = full_table(2, tat=100.0)
    table.set(b"late", 50.0, now=1.0)
    assert table.get(b"late") == 50.0
    assert table.get(in_the_cell_of(b"late")) == 50.0


def test_a_key_counted_in_a_cell_starts_from_there_when_it_gets_an_entry() -> None:
    table = full_table(2, tat=10.0)
    table.set(b"late", 50.0, now=1.0)
    neighbour = in_the_cell_of(b"late")

    # At 20 the two entries are dead: there is room again, while the cell is hot.
    table.set(neighbour, table.get(neighbour) + 1.0, now=20.0)
    assert table.get(neighbour) == 51.0
    assert table.get(b"late") == 50.0, "what has an entry of its own is not counted in the cell"


def test_the_cells_cool_though_new_keys_keep_coming() -> None:
    table = full_table(2, tat=10.0)
    for number in range(10_000):
        table.set(key(number), 50.0, now=1.0)
    for number in range(20_000, 30_000):
        now = 20.0 + number / 1000
        table.set(key(number), max(now, table.get(key(number))) + 0.001, now)
    assert table.get(b"never seen") <= 51.0


def test_the_dead_make_room() -> None:
    table = full_table(64, tat=10.0)
    for number in range(1000, 1064):
        table.set(key(number), 30.0, now=20.0)
    assert len(table) == 64
    assert all(key(number) in table.live for number in range(1000, 1064))


def test_each_insert_looks_at_a_few_entries_only() -> None:
    table = full_table(64, tat=10.0)
    table.set(b"new", 30.0, now=20.0)
    assert len(table) == 64 - LOOKS_PER_INSERT + 1


def test_memory_is_bounded_by_max_keys_and_the_cells() -> None:
    table = full_table(16, tat=1e9)
    for number in range(20_000):
        table.set(key(number), 1e9, now=0.0)
    assert (len(table.live), len(table._ring), len(table._cells)) == (16, 16, OVERFLOW_CELLS)


def test_a_clock_that_goes_back_does_not_revive_a_dropped_bucket() -> None:
    table = KeyTable(4)
    table.set(b"a", 10.0, now=9.0)
    table.set(b"b", 12.0, now=11.0)
    assert len(table) == 1, "the entry of a is dropped"
    assert table.get(b"a") >= 10.0


def test_a_lowered_max_keys_drops_no_live_entry() -> None:
    table = full_table(8, tat=10.0)
    table.max_keys = 2
    table.set(b"late", 10.0, now=1.0)
    assert len(table) == 8


def test_cap_and_shift_reach_entries_and_cells() -> None:
    table = KeyTable(2)
    table.set(b"a", 1.0, now=0.0)
    table.set(b"b", 9.0, now=0.0)
    table.set(b"c", 9.0, now=0.0)
    table.cap(5.0)
    assert [table.get(k) for k in (b"a", b"b", b"c")] == [1.0, 5.0, 5.0]
    table.shift(-2.0)
    assert [table.get(k) for k in (b"a", b"b", b"c")] == [-1.0, 3.0, 3.0]


def test_shift_moves_what_dropped_keys_read() -> None:
    table = KeyTable(4)
    table.set(b"a", 10.0, now=9.0)
    table.set(b"b", 12.0, now=11.0)
    table.shift(2.0)
    assert table.get(b"a") == 13.0


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.floats(0, 5), st.floats(0.01, 10)),
        max_size=200,
    ),
    st.integers(1, 10),
)
def test_a_key_never_reads_less_than_what_was_last_set_for_it_while_that_is_live(
    steps: list[tuple[int, float, float]], max_keys: int
) -> None:
    table = KeyTable(max_keys)
    last: dict[int, float] = {}
    now = 0.0
    for number, pause, debt in steps:
        now += pause
        for seen, tat in last.items():
            assert table.get(key(seen)) >= tat or tat <= now
        last[number] = max(now, table.get(key(number))) + debt
        table.set(key(number), last[number], now)
        assert len(table) <= max_keys
