"""The heads of requests that the compiled wheel reads in one pass (`_scan.c`)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from proxy.wire.field_line import (
    CLOSE_ALONE,
    KEEP_ALIVE_ALONE,
    NO_NAMES,
    REQUEST_LINES,
    FieldLine,
)
from proxy.wire.request_head import RequestHead

if TYPE_CHECKING:
    from proxy.wire._scan import Plain

_UNREAD: Final[list[FieldLine]] = []


class ScannedHead(RequestHead):
    """A plain head, kept as the `text` that it came as: its lines are made when they are asked for,
    which refusing a request, or passing it on, does not do.
    """

    __slots__ = ("_left_out", "_left_out_end", "_parts", "_preferences", "text")

    def __init__(self, plain: "Plain") -> None:
        text, method, target, path, query, host, accept, language, length, option, start, end = (
            plain
        )
        names = NO_NAMES
        if option:
            names = KEEP_ALIVE_ALONE if option == 1 else CLOSE_ALONE
        super().__init__(
            method,
            target,
            (1, 1),
            _UNREAD,
            None if length < 0 else length,
            False,
            option != 2,
            False,
            None,
            names,
            host,
        )
        self.text = text
        self._parts = (path, query)
        self._preferences = (accept, language)
        self._left_out = start
        self._left_out_end = end

    @property
    def lines(self) -> list[FieldLine]:
        """See `RequestHead`."""
        if self._lines is _UNREAD:
            self._lines = _lines(self.text)
        return self._lines

    def preferences(self) -> tuple[bytes | None, bytes | None]:
        """See `RequestHead`."""
        return self._preferences

    def path_and_query(self) -> tuple[bytes, bytes]:
        """See `RequestHead`."""
        return self._parts

    def passed_on(self) -> bytes | None:
        """See `RequestHead`."""
        start = self._left_out
        if start < 0:
            return None
        text = self.text
        if start == 0:
            return text[:-2]
        return text[:start] + text[self._left_out_end : -2]


def _lines(text: bytes) -> list[FieldLine]:
    lines: list[FieldLine] = []
    known = REQUEST_LINES.known
    pieces = text[:-3].split(b"\n")
    for piece in pieces[1:]:
        line = known.get(piece) or REQUEST_LINES.read(piece)
        assert line is not None  # noqa: S101 - the scanner takes fewer
        lines.append(line)
    return lines


def _scanner() -> "Callable[[bytes, int], Plain | None] | None":
    """What reads plain heads, if this is the compiled wheel."""
    try:
        from proxy.wire._scan import Scanner  # noqa: PLC0415 - there may be none
    except ImportError:
        return None
    return Scanner(REQUEST_LINES.kind).read


_scan: "Final[Callable[[bytes, int], Plain | None] | None]" = _scanner()


def scanned_request_head(data: bytes, max_bytes: int) -> ScannedHead | None:
    """The head that `whole_request_head` reads as well; None for what is less than plain, and
    always where there is no scanner.
    """
    if _scan is None:
        return None
    plain = _scan(data, max_bytes)
    return None if plain is None else ScannedHead(plain)
