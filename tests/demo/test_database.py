from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from proxy.demo.database import Database, EmptyOrderError, SoldOutError, UnknownItemError


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(tmp_path / "shop.db", stock=10)) as opened:
        yield opened


def test_an_order_takes_from_the_stock(database: Database) -> None:
    order = database.order_item(1, 3, "TEA", 10)
    assert database.item(1).stock == 7
    assert order.total_cents == 3 * 18900 * 90 // 100
    assert database.recent_orders(5) == [order]


def test_more_than_there_is_can_not_be_ordered(database: Database) -> None:
    with pytest.raises(SoldOutError, match="Moon jar"):
        database.order_item(1, 11, None, 0)
    assert database.item(1).stock == 10
    assert database.recent_orders(5) == []


def test_a_cart_is_ordered_whole_or_not_at_all(database: Database) -> None:
    database.order_item(2, 9, None, 0)
    database.add_to_cart("me", 1, 2)
    database.add_to_cart("me", 2, 2)
    with pytest.raises(SoldOutError):
        database.order_cart("me", None, 0)
    assert database.item(1).stock == 10
    assert len(database.cart("me")) == 2
    database.remove_from_cart("me", 2)
    database.order_cart("me", None, 0)
    assert database.item(1).stock == 8
    assert database.cart("me") == []


def test_a_cart_is_ordered_once(database: Database) -> None:
    database.add_to_cart("me", 1, 1)
    database.order_cart("me", None, 0)
    with pytest.raises(EmptyOrderError):
        database.order_cart("me", None, 0)


def test_a_cart_takes_ten_of_an_item_and_is_only_its_owners(database: Database) -> None:
    database.add_to_cart("me", 1, 8)
    database.add_to_cart("me", 1, 8)
    assert [line.quantity for line in database.cart("me")] == [10]
    assert database.cart("you") == []


def test_an_item_that_is_not_there_is_an_error(database: Database) -> None:
    for action in (
        lambda: database.item(99),
        lambda: database.add_to_cart("me", 99, 1),
        lambda: database.order_item(99, 1, None, 0),
        lambda: database.recommended(99),
    ):
        with pytest.raises(UnknownItemError):
            action()


def test_what_sells_comes_first_and_what_sells_together_is_found(database: Database) -> None:
    for item_id in (3, 5):
        database.add_to_cart("me", item_id, 2)
    database.order_cart("me", None, 0)
    database.order_item(7, 3, None, 0)
    assert [item.id for item in database.recommended(None)] == [7, 3, 5, 1]
    assert [item.id for item in database.recommended(3)] == [5, 1, 2, 4]


def test_threads_can_not_take_the_same_piece_twice(database: Database) -> None:
    def order(_: int) -> int:
        try:
            database.order_item(1, 1, None, 0)
        except SoldOutError:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(order, range(40))) == 10
    assert database.item(1).stock == 0


def test_a_file_with_tables_is_left_as_it_is(tmp_path: Path) -> None:
    with closing(Database(tmp_path / "shop.db", stock=10)) as first:
        first.order_item(1, 1, None, 0)
    with closing(Database(tmp_path / "shop.db", stock=10)) as second:
        assert second.item(1).stock == 9
