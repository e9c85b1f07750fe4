"""What a limit counts by."""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b

from proxy.policy.request import Request

LONGEST_KEY_BYTES = 64
"""Longer keys are replaced by a digest, so that a key table's memory is bounded."""


class KeyKind(StrEnum):
    """Where a key is read from."""

    CLIENT_ADDRESS = "client_address"
    HEADER = "header"
    COOKIE = "cookie"
    QUERY = "query"
    PATH = "path"


@dataclass(frozen=True, slots=True)
class KeySource:
    """What a limit counts by: the YAML's `per`.

    `name` is the header's (lower case), cookie's, query or path parameter's name; empty for
    `client_address`.
    """

    kind: KeyKind
    name: str = ""

    def key(self, request: Request) -> bytes:
        """The key of `request`: at most `LONGEST_KEY_BYTES` + 1 bytes.

        A request without the header, cookie or parameter, or with several values of it, is
        counted by its client address instead: neither leaving a cookie out nor adding another
        must be a way around a limit. A leading byte keeps the two kinds of keys apart.
        """
        value: bytes | None = None
        match self.kind:
            case KeyKind.HEADER:
                value = request.header(self.name.encode("latin-1"))
            case KeyKind.COOKIE:
                value = request.cookie(self.name.encode("latin-1"))
            case KeyKind.QUERY:
                value = request.query_parameter(self.name.encode())
            case KeyKind.PATH:
                parameter = request.parameters.get(self.name)
                if parameter is not None:
                    value = parameter.encode("utf-8", "surrogateescape")
            case KeyKind.CLIENT_ADDRESS:
                pass
        if value is None:
            return b"@" + request.client.encode()
        if len(value) > LONGEST_KEY_BYTES:
            return b"#" + blake2b(value, digest_size=16).digest()
        return b"=" + value
