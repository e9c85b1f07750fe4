"""An answer of the shop that was kept."""

from typing import Final

ENTRY_BYTES: Final = 1024
"""What an entry takes besides its bytes: objects, dictionary, queue. Measured with CPython 3.11:
600 bytes; the rest is for tables that have just grown.
"""


OLDEST: Final = float(2**31)
"""Seconds; whatever is older is said to be this old (RFC 9111 section 1.2.2)."""


class StoredResponse:
    """A whole response, as the shop sent it.

    `head` is the status line and the end-to-end fields, each with its CRLF, `Date` and
    `Content-Length` among them and no `Age`; `body` is not chunked. `vary` are the lower-case
    names in its `Vary`. `etag` and `modified` (a Unix time) are its validators; None without.

    Times are monotonic seconds: its head came at `arrived_at`, and had the `age` then that RFC 9111
    section 4.2.3 calls corrected_initial_age. The shop says that it is fresh for `fresh_for`
    seconds more; infinity when it says nothing.
    """

    __slots__ = (
        "age", "arrived_at", "body", "etag", "fresh_for", "head", "modified", "status", "vary",
    )  # fmt: skip

    def __init__(
        self,
        status: int,
        head: bytes,
        body: bytes,
        *,
        arrived_at: float,
        age: float,
        fresh_for: float,
        vary: tuple[bytes, ...] = (),
        etag: bytes | None = None,
        modified: int | None = None,
    ) -> None:
        self.status = status
        self.head = head
        self.body = body
        self.arrived_at = arrived_at
        self.age = age
        self.fresh_for = fresh_for
        self.vary = vary
        self.etag = etag
        self.modified = modified

    @property
    def size(self) -> int:
        """Bytes of memory, without those of its key."""
        return len(self.head) + len(self.body) + ENTRY_BYTES

    def age_at(self, now: float) -> float:
        """Seconds since the shop made it: the current_age of RFC 9111 section 4.2.3."""
        return min(OLDEST, self.age + max(0.0, now - self.arrived_at))

    def left(self, ttl: float, now: float) -> float:
        """For how many seconds more it is fresh, if we let it be for `ttl` after its arrival and
        for no longer than the shop says; negative when it is stale.
        """
        return min(ttl, self.fresh_for) - (now - self.arrived_at)
