"""The shop's data in SQLite: items and their stock, carts, orders."""

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

MOST_OF_ONE = 10
"""How many of one item a cart or an order takes."""

_SCHEMA = """
CREATE TABLE items (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, about TEXT NOT NULL,
    price_cents INTEGER NOT NULL, stock INTEGER NOT NULL CHECK (stock >= 0));
CREATE TABLE cart_lines (
    sid TEXT NOT NULL, item_id INTEGER NOT NULL REFERENCES items,
    quantity INTEGER NOT NULL CHECK (quantity > 0), PRIMARY KEY (sid, item_id)) WITHOUT ROWID;
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, created TEXT NOT NULL, coupon TEXT, total_cents INTEGER NOT NULL);
CREATE TABLE order_lines (
    order_id INTEGER NOT NULL REFERENCES orders, item_id INTEGER NOT NULL REFERENCES items,
    quantity INTEGER NOT NULL CHECK (quantity > 0), PRIMARY KEY (order_id, item_id)) WITHOUT ROWID;
"""

_ITEMS = [
    ("Moon jar", "White porcelain, thrown in two halves. The one that everybody wants.", 18900),
    ("Celadon vase", "Jade green over a carved lotus, for peonies or for looking at.", 4200),
    ("Tenmoku jar", "Black glaze that breaks to rust at the lip.", 5600),
    ("Cobalt vase", "Brushwork bands under a clear glaze.", 7400),
    ("Salt-fired bottle", "Orange peel skin from the salt kiln.", 6100),
    ("Ash glaze vase", "Wood ash, three days of fire, no two alike.", 9800),
    ("Copper red vase", "A glaze that fails more often than not. Here it did not.", 8800),
    ("Slipware crock", "Red clay under a honey glaze, for gherkins.", 2600),
    ("Raku urn", "Crackled grey, taken from the kiln while it glows.", 3900),
    ("Terracotta pitcher", "Unglazed outside, cool water inside.", 3400),
    ("Shino jar", "Thick, pitted, warm; the oldest white glaze of Japan.", 6700),
    ("Crystalline vase", "Zinc crystals grown in the kiln over one slow night.", 12500),
]


class UnknownItemError(LookupError):
    """There is no such item."""


class SoldOutError(Exception):
    """Less of an item is left than was asked for: `name` says of which."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class EmptyOrderError(Exception):
    """An order of nothing."""


@dataclass(frozen=True)
class Item:
    """What the shop sells."""

    id: int
    name: str
    about: str
    price_cents: int
    stock: int


@dataclass(frozen=True)
class Line:
    """So many of an item, in a cart or an order."""

    item_id: int
    name: str
    price_cents: int
    quantity: int


@dataclass(frozen=True)
class Order:
    """A placed order. `created` is UTC in ISO 8601; `total_cents` is what a coupon left of it."""

    id: int
    created: str
    coupon: str | None
    total_cents: int
    lines: tuple[Line, ...]


class Database:
    """Each thread has a connection of its own to the file `path`.

    A file without tables is filled with items, `stock` pieces of each.
    """

    def __init__(self, path: Path, stock: int) -> None:
        self._path = path
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        with self._transaction() as connection:
            if not connection.execute("SELECT 1 FROM sqlite_schema").fetchone():
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.executemany(
                    "INSERT INTO items (name, about, price_cents, stock) VALUES (?, ?, ?, ?)",
                    [(*item, stock) for item in _ITEMS],
                )

    def close(self) -> None:
        """Close all connections; no thread may be using one."""
        for connection in self._opened:
            connection.close()

    def items(self) -> list[Item]:
        """All items."""
        rows = self._connection.execute("SELECT id, name, about, price_cents, stock FROM items")
        return [Item(*row) for row in rows]

    def item(self, item_id: int) -> Item:
        """One item. Raises UnknownItemError."""
        row = self._connection.execute(
            "SELECT id, name, about, price_cents, stock FROM items WHERE id = ?", (item_id,)
        ).fetchone()
        if row is None:
            raise UnknownItemError(item_id)
        return Item(*row)

    def cart(self, sid: str) -> list[Line]:
        """What is in the cart of the session `sid`."""
        rows = self._connection.execute(
            "SELECT item_id, name, price_cents, quantity FROM cart_lines"
            " JOIN items ON items.id = item_id WHERE sid = ? ORDER BY item_id",
            (sid,),
        )
        return [Line(*row) for row in rows]

    def add_to_cart(self, sid: str, item_id: int, quantity: int) -> None:
        """Put `quantity` more of an item into a cart, MOST_OF_ONE at most. UnknownItemError."""
        self.item(item_id)
        self._connection.execute(
            "INSERT INTO cart_lines VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET quantity = MIN(quantity + excluded.quantity, ?)",
            (sid, item_id, quantity, MOST_OF_ONE),
        )

    def remove_from_cart(self, sid: str, item_id: int) -> None:
        """Take an item out of a cart; nothing happens if it is not in it."""
        self._connection.execute(
            "DELETE FROM cart_lines WHERE sid = ? AND item_id = ?", (sid, item_id)
        )

    def order_cart(self, sid: str, coupon: str | None, percent_off: int) -> Order:
        """Order a cart and empty it. Raises EmptyOrderError or SoldOutError and changes nothing."""
        with self._transaction() as connection:
            quantities = {line.item_id: line.quantity for line in self.cart(sid)}
            connection.execute("DELETE FROM cart_lines WHERE sid = ?", (sid,))
            return self._place(connection, quantities, coupon, percent_off)

    def order_item(
        self, item_id: int, quantity: int, coupon: str | None, percent_off: int
    ) -> Order:
        """Order one item, past any cart. Raises UnknownItemError, SoldOutError."""
        with self._transaction() as connection:
            return self._place(connection, {item_id: quantity}, coupon, percent_off)

    def recent_orders(self, limit: int) -> list[Order]:
        """The last `limit` orders, the newest first."""
        rows = self._connection.execute(
            "SELECT id, created, coupon, total_cents FROM orders ORDER BY id DESC LIMIT ?",
            (limit,),
        ).fetchall()
        return [
            Order(order_id, created, coupon, total_cents, self._lines(order_id))
            for order_id, created, coupon, total_cents in rows
        ]

    def recommended(self, item_id: int | None, limit: int = 4) -> list[Item]:
        """What sells best of late, or what sells together with an item. Raises UnknownItemError."""
        newest = "(SELECT COALESCE(MAX(id), 0) - 500 FROM orders)"
        if item_id is None:
            sold = f"SELECT item_id, quantity FROM order_lines WHERE order_id > {newest}"  # noqa: S608 - no value in it
            values: tuple[int, ...] = (0, limit)
        else:
            self.item(item_id)
            sold = (
                "SELECT other.item_id, other.quantity FROM order_lines AS this"  # noqa: S608 - no value in it
                " JOIN order_lines AS other ON other.order_id = this.order_id"
                f" WHERE this.order_id > {newest} AND this.item_id = ?"
            )
            values = (item_id, item_id, limit)
        rows = self._connection.execute(
            "SELECT id, name, about, price_cents, stock FROM items"  # noqa: S608 - no value in it
            f" LEFT JOIN (SELECT item_id, SUM(quantity) AS sold FROM ({sold}) GROUP BY item_id)"
            " ON item_id = items.id WHERE items.id <> ?"
            " ORDER BY COALESCE(sold, 0) DESC, id LIMIT ?",
            values,
        )
        return [Item(*row) for row in rows]

    @property
    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            # Autocommit: transactions are begun where they are needed. Another thread may only
            # close the connection, after the last use.
            connection = sqlite3.connect(
                self._path, timeout=10.0, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._local.connection = connection
            self._opened.append(connection)
        return connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")  # a lock taken later could be refused as too late
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _place(
        self,
        connection: sqlite3.Connection,
        quantities: Mapping[int, int],
        coupon: str | None,
        percent_off: int,
    ) -> Order:
        if not quantities:
            raise EmptyOrderError
        total_cents = 0
        for item_id, quantity in quantities.items():
            item = self.item(item_id)
            taken = connection.execute(
                "UPDATE items SET stock = stock - :n WHERE id = :id AND stock >= :n",
                {"n": quantity, "id": item_id},
            )
            if taken.rowcount != 1:
                raise SoldOutError(item.name)
            total_cents += item.price_cents * quantity
        total_cents -= total_cents * percent_off // 100
        created = datetime.now(UTC).isoformat(timespec="seconds")
        order_id = connection.execute(
            "INSERT INTO orders (created, coupon, total_cents) VALUES (?, ?, ?) RETURNING id",
            (created, coupon, total_cents),
        ).fetchone()[0]
        connection.executemany(
            "INSERT INTO order_lines VALUES (?, ?, ?)",
            [(order_id, item_id, quantity) for item_id, quantity in quantities.items()],
        )
        return Order(order_id, created, coupon, total_cents, self._lines(order_id))

    def _lines(self, order_id: int) -> tuple[Line, ...]:
        rows = self._connection.execute(
            "SELECT item_id, name, price_cents, quantity FROM order_lines"
            " JOIN items ON items.id = item_id WHERE order_id = ? ORDER BY item_id",
            (order_id,),
        )
        return tuple(Line(*row) for row in rows)
