"""What a limit counts by."""

from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import Final

from proxy.policy.request import Request

LONGEST_KEY_BYTES: Final = 64
"""Longer keys are replaced by a digest, so that a key table's memory is bounded."""


class KeyKind(StrEnum):
    """Where a key is read from."""

    CLIENT_ADDRESS = "client_address"
    HEADER = "header"
    COOKIE = "cookie"
    QUERY = "query"
    PATH = "path"
    CALLER = "caller"


# To look up a member of an enumeration costs as much as a whole key: see `proxy.policy.verdict`.
_CLIENT_ADDRESS: Final = KeyKind.CLIENT_ADDRESS
_HEADER: Final = KeyKind.HEADER
_COOKIE: Final = KeyKind.COOKIE
_PATH: Final = KeyKind.PATH
_CALLER: Final = KeyKind.CALLER


@dataclass(frozen=True, slots=True)
class KeySource:
    """What a limit counts by: the YAML's `per`.

    `name` is the header's (lower case), cookie's, query or path parameter's name; empty for
    `client_address`. `raw_name` is made of it: the name as bytes.
    """

    kind: KeyKind
    name: str = ""
    raw_name: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "raw_name", self.name.encode())

    def __reduce__(self) -> tuple[type["KeySource"], tuple[KeyKind, str]]:
        """For `pickle`, which sees no attributes of a compiled class."""
        return KeySource, (self.kind, self.name)

    def key(self, request: Request) -> bytes:
        """The key of `request`: at most `LONGEST_KEY_BYTES` + 1 bytes.

        A request without the header, cookie or parameter, or with several values of it, is
        counted by its client address instead: neither leaving a cookie out nor adding another
        must be a way around a limit. A leading byte keeps the two kinds of keys apart.
        """
        kind = self.kind
        if kind is _CLIENT_ADDRESS:
            return request.client
        if kind is _PATH:
            parameter = request.parameters.get(self.name)
            value = None if parameter is None else parameter.encode("utf-8", "surrogateescape")
        elif kind is _COOKIE:
            value = request.cookie(self.raw_name)
        elif kind is _HEADER:
            value = request.header(self.raw_name)
        elif kind is _CALLER:
            return request.caller
        else:
            value = request.query_parameter(self.raw_name)
        if value is None:
            return request.client
        if len(value) > LONGEST_KEY_BYTES:
            return b"#" + blake2b(value, digest_size=16).digest()
        return b"=" + value


BY_CLIENT_ADDRESS: Final = KeySource(KeyKind.CLIENT_ADDRESS)
BY_CALLER: Final = KeySource(KeyKind.CALLER)
