"""Made of `_scan.c` for the compiled wheel; elsewhere there is none."""

from collections.abc import Callable
from typing import final

Plain = tuple[
    bytes, bytes, bytes, bytes, bytes, bytes, bytes | None, bytes | None, int, int, int, int
]
"""Its text; method, target, that one's path and query; host; the first `Accept` and
`Accept-Language`; the length, -1 without one; the connection's option, 1 for `keep-alive` and 2 for
`close`, 0 without one; where the lines begin and end that do not go on from everybody: both 0
without any, and -1 for the beginning if they are not together."""

@final
class Scanner:
    """Reads heads of requests that are as plain as can be, in one pass.

    `kind_of` tells a name's kind (see `proxy.wire.field_line`), below 0 if it is none. It is asked
    once for each name, as long as that is remembered.
    """

    def __new__(cls, kind_of: Callable[[bytes], int], /) -> Scanner: ...
    def read(self, data: bytes, max_bytes: int, /) -> Plain | None:
        """The head that `data` begins with, if it is plain, whole and of `max_bytes` at most."""
