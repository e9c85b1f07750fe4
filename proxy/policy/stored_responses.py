"""All the shop's answers that are kept, each found by the request that it answers."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from proxy.policy.request import Request
from proxy.policy.snapshot import StoreSpec
from proxy.policy.stored_response import ENTRY_BYTES, StoredResponse
from proxy.policy.stored_table import StoredTable

KEY_BYTES: Final = 32
"""Of a digest for which nobody finds two requests."""


class StoredResponses:
    """Finds a response by a request's key (`proxy.policy.keeping`) and what its `Vary` names.

    RFC 9111 section 4.1: the names that count are those of the answer that came last; an entry
    of its own holds them, by the key alone.
    """

    __slots__ = ("spec", "table")

    def __init__(self, spec: StoreSpec) -> None:
        self.spec = spec
        self.table = StoredTable(spec.memory_bytes)

    def configure(self, spec: StoreSpec) -> None:
        """Goes by `spec` from now on."""
        self.spec = spec
        self.table.limit(spec.memory_bytes)

    def find(self, key: bytes, request: Request) -> StoredResponse | None:
        """What was kept for a request like this one."""
        value = self.table.get(key)
        if isinstance(value, tuple):
            value = self.table.get(_with_values(key, request, value))
        return value if isinstance(value, StoredResponse) else None

    def full_key(self, key: bytes, request: Request) -> bytes:
        """`key` with what `Vary` named when the shop last answered it."""
        value = self.table.get(key)
        return _with_values(key, request, value) if isinstance(value, tuple) else key

    def keep(self, key: bytes, request: Request, response: StoredResponse) -> bytes:
        """Keeps `response`, the shop's answer to `request`; the whole key that it is kept by."""
        full = _with_values(key, request, response.vary) if response.vary else key
        self.put(key, full, response)
        return full

    def put(self, key: bytes, full: bytes, response: StoredResponse) -> None:
        """Keeps `response` by the key `full`: `key`, or what was made of it and its `vary`."""
        if response.vary:
            self.table.put(key, response.vary)
        self.table.put(full, response)

    def restore(self, key: bytes, full: bytes, response: StoredResponse) -> None:
        """The same with one from before a restart, the newest first: whatever has come since, or
        was restored before it, is newer, and not pushed out.
        """
        table = self.table
        size = response.size + len(full) + (len(key) + ENTRY_BYTES if response.vary else 0)
        if (
            table.bytes + size <= table.most_bytes
            and table.get(full) is None
            and table.get(key) in (None, response.vary)
        ):
            self.put(key, full, response)

    def drop(self, key: bytes, request: Request) -> bytes:
        """Forgets what `find` would find; its whole key."""
        full = self.full_key(key, request)
        self.table.drop(full)
        return full


def key_of(parts: Iterable[bytes]) -> bytes:
    """A key for `parts`, in which no byte is LF. A digest: targets have any length, and credentials
    in them are nobody's to read, on a disk least of all.
    """
    return blake2b(b"\n".join(parts), digest_size=KEY_BYTES).digest()


def _with_values(key: bytes, request: Request, names: tuple[bytes, ...]) -> bytes:
    """The key of what is also told apart by the request's fields of these names.

    Several lines of a name are one list (RFC 9110 section 5.3); an empty field is not none.
    """
    parts = [key.hex().encode()]
    for name in names:
        size = len(name)
        values = [
            value for field, value in request.fields if len(field) == size and field.lower() == name
        ]
        parts.append(name)
        parts.append(b"=" + b", ".join(values) if values else b"-")
    return key_of(parts)
