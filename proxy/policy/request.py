"""What a decision is made on."""

from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

Fields = Sequence[tuple[bytes, bytes]]
"""Header fields as they came: (name, value) pairs, in order, case kept, values trimmed."""


class Request:
    """One request, as far as rules can see it: no body.

    `method`, `host` (lower case, without port; empty when absent) and `path` (normalised, see
    `proxy.wire.target`; it starts with `/`) are text; `query` is the raw query without its `?`.
    `client` is the key form of the client's address: the IPv4 address, or the /64 network of an
    IPv6 address. `length` is the body's length in bytes, None when it is not known beforehand.
    `parameters` is filled in by the route that matches.
    """

    __slots__ = ("client", "fields", "host", "length", "method", "parameters", "path", "query")

    def __init__(
        self,
        method: str,
        host: str,
        path: str,
        query: bytes,
        fields: Fields,
        client: str,
        length: int | None = 0,
    ) -> None:
        self.method = method
        self.host = host
        self.path = path
        self.query = query
        self.fields = fields
        self.client = client
        self.length = length
        self.parameters: dict[str, str] = {}

    def header(self, name: bytes) -> bytes | None:
        """The value of the field `name` (lower case); None when absent or ambiguous."""
        return _agreed([value for field, value in self.fields if field.lower() == name])

    def cookie(self, name: bytes) -> bytes | None:
        """The value of the cookie `name` (RFC 6265 section 4.2); None when absent or ambiguous."""
        found: list[bytes] = []
        for field, value in self.fields:
            if field.lower() == b"cookie":
                for pair in value.split(b";"):
                    key, separator, content = pair.strip().partition(b"=")
                    if separator and key == name:
                        found.append(content.strip(b'"'))
        return _agreed(found)

    def query_parameter(self, name: bytes) -> bytes | None:
        """The value of the query parameter `name`, percent-decoded; None when absent or
        ambiguous.
        """
        if not self.query:
            return None
        found: list[bytes] = []
        for pair in self.query.split(b"&"):
            key, _, content = pair.partition(b"=")
            if key == name or unquote_to_bytes(key.replace(b"+", b" ")) == name:
                found.append(unquote_to_bytes(content.replace(b"+", b" ")))
        return _agreed(found)


def _agreed(values: list[bytes]) -> bytes | None:
    """The value that all are; None when they differ, for one upstream takes the first and
    another the last.
    """
    return values[0] if values and values.count(values[0]) == len(values) else None
