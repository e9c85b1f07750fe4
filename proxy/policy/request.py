"""What a decision is made on."""

from collections.abc import Iterable, Mapping
from typing import Final

from proxy.policy.cookies import cookie_values
from proxy.policy.percent import percent_decode

Fields = Iterable[tuple[bytes, bytes]]
"""Header fields as they came: (name, value) pairs, in order, case kept, values trimmed.

They are gone through each time that a header or a cookie is asked for, and not before: what makes
the pairs then may stand for them.
"""

MOST_PAIRS = 256
"""So many query parameters or cookies are looked at. Who sends more is counted by address, as who
says two things is: reading tens of thousands would take longer than all the rest.
"""

NO_PARAMETERS: Final[Mapping[str, str]] = {}
"""The parameters of a path whose pattern has none."""


class Request:
    """One request, as far as rules can see it: no body.

    `method`, `host` (lower case, without port; empty when absent) and `path` (normalised, see
    `proxy.wire.target`; it starts with `/`) are text; `query` is the raw query without its `?`.
    `client` is what its client is counted by (`proxy.wire.client.client_key`). `length` is the
    body's length in bytes, None when it is not known beforehand.
    `other_paths` are those that the upstream may read instead of `path`
    (`proxy.wire.target.other_readings`), `target` is what it is sent. `parameters` is filled in by
    the routes that match; it may be shared with other requests and is never changed in place.
    `caller` is the sidecar that sent it, where one is believed that it did; else empty.
    """

    __slots__ = (
        "caller",
        "client",
        "fields",
        "host",
        "length",
        "method",
        "other_paths",
        "parameters",
        "path",
        "query",
        "target",
    )

    def __init__(
        self,
        method: str,
        host: str,
        path: str,
        query: bytes,
        fields: Fields,
        client: bytes,
        length: int | None = 0,
        *,
        other_paths: tuple[str, ...] = (),
        target: bytes = b"",
    ) -> None:
        self.method = method
        self.host = host
        self.path = path
        self.query = query
        self.fields = fields
        self.client = client
        self.length = length
        self.other_paths = other_paths
        self.target = target
        self.parameters: Mapping[str, str] = NO_PARAMETERS
        self.caller = b""

    def header(self, name: bytes) -> bytes | None:
        """The value of the field `name` (lower case); None when absent or ambiguous: when values
        differ, one upstream takes the first and another the last.
        """
        found: bytes | None = None
        size = len(name)
        for field, value in self.fields:
            # Comparing lengths first costs a third of lowering every name.
            if len(field) == size and field.lower() == name:
                if found is None:
                    found = value
                elif value != found:
                    return None
        return found

    def cookie(self, name: bytes) -> bytes | None:
        """The value of the cookie `name` (RFC 6265 section 4.2), to be counted by; None when
        absent or ambiguous.

        Spellings that any server takes for one value are one: see `cookie_values`.
        """
        found: bytes | None = None
        left = MOST_PAIRS
        for field, line in self.fields:
            if len(field) == len(b"cookie") and field.lower() == b"cookie":
                left -= line.count(b";") + 1
                if left < 0:
                    return None
                for value in cookie_values(line, name):
                    if found is None:
                        found = value
                    elif value != found:
                        return None
        return found

    def query_parameter(self, name: bytes) -> bytes | None:
        """The value of the query parameter `name`, percent-decoded; None when absent or
        ambiguous.
        """
        if not self.query:
            return None
        pairs = self.query.split(b"&", MOST_PAIRS)
        if len(pairs) > MOST_PAIRS:
            return None
        found: bytes | None = None
        for pair in pairs:
            key, _, content = pair.partition(b"=")
            if key == name or percent_decode(key.replace(b"+", b" ")) == name:
                value = percent_decode(content.replace(b"+", b" "))
                if found is None:
                    found = value
                elif value != found:
                    return None
        return found
