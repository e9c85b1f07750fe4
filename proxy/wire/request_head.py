"""The head of a request."""

import re
from collections.abc import Iterator
from typing import Final

from proxy.wire.errors import BadRequest, HeadTooLarge, UnsupportedVersion
from proxy.wire.field_line import (
    ACCEPT,
    ACCEPT_LANGUAGE,
    CALLER,
    CHUNKED,
    CLOSE,
    CLOSE_ALONE,
    CONTENT_LENGTH,
    FORWARDED,
    HOST,
    KEEP_ALIVE,
    KEEP_ALIVE_ALONE,
    NO_NAMES,
    REQUEST_LINES,
    STAYS,
    FieldLine,
    names_in_connection,
)
from proxy.wire.field_section import MAX_FIELDS, FieldSectionReader
from proxy.wire.grammar import (
    AS_PATH,
    TOKEN,
    VISIBLE,
    Field,
    unexpected,
)
from proxy.wire.request_meaning import (
    asked_authority,
    content_length,
    expects_continue,
    is_chunked,
)

MAX_EMPTY_LINES = 4
"""Empty lines skipped before a request line: RFC 9112 section 2.2 wants at least one."""

_REQUEST_LINE = re.compile(rb"([" + TOKEN + rb"]++) ([" + VISIBLE + rb"]++) HTTP/1\.([01])\r\n")
_PARTS = (
    (re.compile(rb"[" + TOKEN + rb"]*+"), "the method"),
    (re.compile(rb"[" + VISIBLE + rb"]*+"), "the request target"),
)
_VERSIONS = (b"HTTP/1.1\r\n", b"HTTP/1.0\r\n")
_OTHER_VERSION = re.compile(rb"HTTP/[0-9]")

USUAL_METHODS: Final = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"}
)

_SMALL_BYTES: Final = 2048
"""Up to this size data that ends like a head is first taken for one head."""

_FRAMING = frozenset(
    {b"host", b"connection", b"content-length", b"transfer-encoding", b"expect", b"upgrade"}
)


class RequestHead:
    """A request's head: valid, and of one meaning only.

    `method` and `target` are byte for byte as sent; so are the names in `fields`, whose values
    are trimmed: `lines`, which know what they mean, as pairs. `length` is the Content-Length,
    None without one; a request that is neither `chunked` nor has a `length` has no body.
    `keep_alive`: the client allows another request. `expect_continue`: it waits for 100.
    `upgrade`: the protocols it offers to change to. `connection_names`: the lower-case names in
    `Connection`. `host` is the authority asked for, with its port as sent: the target's own, else
    the Host field's; empty when there is none.
    """

    __slots__ = (
        "_fields", "_lines", "chunked", "connection_names", "expect_continue", "host", "keep_alive",
        "length", "method", "target", "upgrade", "version",
    )  # fmt: skip

    def __init__(
        self,
        method: bytes,
        target: bytes,
        version: tuple[int, int],
        lines: list[FieldLine],
        length: int | None,
        chunked: bool,
        keep_alive: bool,
        expect_continue: bool,
        upgrade: bytes | None,
        connection_names: frozenset[bytes],
        host: bytes,
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        self._lines = lines
        self.length = length
        self.chunked = chunked
        self.keep_alive = keep_alive
        self.expect_continue = expect_continue
        self.upgrade = upgrade
        self.connection_names = connection_names
        self.host = host
        self._fields: list[Field] | None = None

    @property
    def lines(self) -> list[FieldLine]:
        """The field lines, in their order."""
        return self._lines

    @property
    def fields(self) -> list[Field]:
        """The lines as pairs, made when first asked for."""
        if self._fields is None:
            self._fields = [(line.name, line.value) for line in self.lines]
        return self._fields

    def __iter__(self) -> Iterator[Field]:
        """The pairs of `fields`: whoever may not want them need not have them made."""
        return iter(self.fields)

    def value(self, kind: int) -> bytes | None:
        """The value of the first line of a kind (see `proxy.wire.field_line`), None without one."""
        for line in self.lines:
            if line.kind == kind:
                return line.value
        return None

    def preferences(self) -> tuple[bytes | None, bytes | None]:
        """The first values of `Accept` and `Accept-Language`, None without one."""
        accept: bytes | None = None
        accept_language: bytes | None = None
        for line in self.lines:
            if line.kind == ACCEPT and accept is None:
                accept = line.value
            elif line.kind == ACCEPT_LANGUAGE and accept_language is None:
                accept_language = line.value
        return accept, accept_language

    def values(self, kind: int) -> list[bytes]:
        """The values of all lines of a kind."""
        return [line.value for line in self.lines if line.kind == kind]

    def path_and_query(self) -> tuple[bytes, bytes]:
        """The target's parts before and after its first `?`."""
        path, _, query = self.target.partition(b"?")
        return path, query

    def passed_on(self) -> bytes | None:
        """The head as it goes on from a client that is not trusted: its lines, each with its end,
        but for those that stay here, and without the empty one. None where it is not at hand.
        """
        return None

    def __repr__(self) -> str:
        return (
            f"RequestHead({self.method!r}, {self.target!r}, {self.version}, {self.lines}, "
            f"{self.length}, {self.chunked}, {self.keep_alive}, {self.expect_continue}, "
            f"{self.upgrade!r}, {sorted(self.connection_names)}, {self.host!r})"
        )


def whole_request_head(data: bytes, max_bytes: int) -> tuple[RequestHead, int] | None:
    """The head that `data` begins with, and where it ends, if it is a usual one of `max_bytes` at
    most and there is nothing the matter with it.

    Else None: it may be incomplete, malformed, or merely unusual, which `RequestHeadReader` tells.
    What this one reads, that one reads alike: HTTP/1.1 with a well-known method, a path as its
    target, one Host, one plain length or chunks or neither, no expectation or upgrade, and nothing
    in `Connection` but `keep-alive` or `close`.
    """
    size = len(data)
    guessed = size <= _SMALL_BYTES and data.endswith(b"\r\n\r\n")
    # A guess is several times as fast as a search; a shorter head is looked for when it is wrong.
    end = size - 4 if guessed else data.find(b"\r\n\r\n", 0, max_bytes)
    if end < 0 or end + 4 > max_bytes:
        return None
    found = _whole_head(data, end)
    if found is None and guessed and (first := data.find(b"\r\n\r\n")) < end:
        return _whole_head(data, first)
    return found


def _whole_head(data: bytes, end: int) -> tuple[RequestHead, int] | None:
    pieces = data[: end + 1].split(b"\n")
    start = pieces.pop(0).split(b" ")
    if len(pieces) > MAX_FIELDS or len(start) != 3 or start[2] != b"HTTP/1.1\r":
        return None
    method, target, _ = start
    if method not in USUAL_METHODS or not target.startswith(b"/"):
        return None
    if target.translate(AS_PATH) != target:
        return None
    head = _usual_head(method, target, pieces)
    return None if head is None else (head, end + 4)


class RequestHeadReader:
    """Reads one request head of at most `max_bytes`, its empty line included.

    `started` tells whether any byte has come; `rest` holds the bytes after the head. What is
    malformed is refused with its first wrong byte; what is well-formed but means nothing, or
    two things (a target's form, two Hosts, framing), when the head is complete.
    """

    __slots__ = (
        "_empty_lines", "_line", "_max_bytes", "_part", "_part_start", "_room", "_scanned",
        "_section", "_start_line", "rest", "started",
    )  # fmt: skip

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._room = max_bytes
        self._line = bytearray()
        self._empty_lines = 0
        self._part = 0
        self._part_start = 0
        self._scanned = 0
        self._start_line: tuple[bytes, bytes, bytes] | None = None
        self._section: FieldSectionReader | None = None
        self.started = False
        self.rest = b""

    def feed(self, data: bytes) -> RequestHead | None:
        """The head once it is complete, until then None. Not to be called after that.

        Raises BadRequest (or UnsupportedVersion), HeadTooLarge, UnsupportedCoding; the reader
        is of no use afterwards.
        """
        if not self.started:
            whole = whole_request_head(data, self._max_bytes)
            if whole is not None:
                self.started = True
                head, end_of_head = whole
                self.rest = data[end_of_head:]
                return head
        if data:
            self.started = True
        position = 0 if self._section is not None else self._take_request_line(data)
        section = self._section
        end = None if section is None else section.feed(data, position)
        if section is None or end is None:
            return None
        self.rest = data[end:]
        assert self._start_line is not None  # noqa: S101 - set together with the section
        return request_head(*self._start_line, section.fields)

    def _take_request_line(self, data: bytes) -> int:
        """Take the request line, or as much of it as there is; where in `data` it ends."""
        position = 0
        while position < len(data):
            if not self._line:
                whole = _REQUEST_LINE.match(data, position, position + self._room)
                if whole is not None:
                    self._finish_line((whole[1], whole[2], whole[3]), whole.end() - position)
                    return whole.end()
            newline = data.find(b"\n", position, position + self._room)
            end = newline + 1 if newline >= 0 else min(len(data), position + self._room)
            self._line += data[position:end]
            self._scan()
            self._room -= end - position
            position = end
            if newline >= 0 and self._close_line():
                return position
            if self._room <= 0:
                raise HeadTooLarge(f"head reaches {self._max_bytes} bytes")
        return position

    def _finish_line(self, start_line: tuple[bytes, bytes, bytes], size: int) -> None:
        self._room -= size
        if self._room <= 0:
            raise HeadTooLarge(f"head reaches {self._max_bytes} bytes")
        self._start_line = start_line
        self._section = FieldSectionReader(self._room)

    def _scan(self) -> None:
        """Check what is new in the unfinished line; it may have become complete."""
        line = self._line
        if line[0] == 0x0D:
            if bytes(line[1:2]) not in {b"", b"\n"}:
                raise BadRequest("bare CR before the request line")
            return
        while self._part < len(_PARTS):
            allowed, place = _PARTS[self._part]
            run = allowed.match(line, self._scanned)
            assert run is not None  # noqa: S101 - it matches the empty string as well
            end = self._scanned = run.end()
            if end == len(line):
                return
            if line[end] != 0x20 or end == self._part_start:
                raise BadRequest(unexpected(line[end], place))
            self._part += 1
            self._part_start = self._scanned = end + 1
        version = bytes(line[self._part_start : self._part_start + len(_VERSIONS[0]) + 1])
        if not any(known.startswith(version) for known in _VERSIONS):
            if _OTHER_VERSION.match(version) and not version.startswith(b"HTTP/1."):
                raise UnsupportedVersion("a version other than HTTP/1.0 and HTTP/1.1")
            raise BadRequest("malformed version in the request line")

    def _close_line(self) -> bool:
        """Take the line, which is complete and clean; False if it was an empty one."""
        if self._line[0] == 0x0D:
            self._empty_lines += 1
            if self._empty_lines > MAX_EMPTY_LINES:
                raise BadRequest("too many empty lines before the request line")
            self._line.clear()
            return False
        method, target, version = bytes(self._line[:-2]).split(b" ")
        self._finish_line((method, target, version[-1:]), 0)
        return True


def _usual_head(method: bytes, target: bytes, pieces: list[bytes]) -> RequestHead | None:
    lines: list[FieldLine] = []
    host: bytes | None = None
    length: int | None = None
    chunked = False
    names = NO_NAMES
    known = REQUEST_LINES.known
    for piece in pieces:
        line = known.get(piece)
        if line is None:
            line = REQUEST_LINES.read(piece)
            if line is None:
                return None
        lines.append(line)
        kind = line.kind
        if kind < HOST or FORWARDED <= kind <= STAYS:
            continue
        if kind == HOST and host is None:
            host = line.value
        elif kind == KEEP_ALIVE and names is NO_NAMES:
            names = KEEP_ALIVE_ALONE
        elif kind == CLOSE and names is NO_NAMES:
            names = CLOSE_ALONE
        elif kind == CONTENT_LENGTH and length is None:
            length = int(line.value)
        elif kind == CHUNKED and not chunked:
            chunked = True
        elif kind != CALLER:
            return None
    if host is None or (chunked and length is not None):
        return None
    keep_alive = names is not CLOSE_ALONE
    return RequestHead(
        method, target, (1, 1), lines, length, chunked, keep_alive, False, None, names, host
    )


def request_head(method: bytes, target: bytes, minor: bytes, fields: list[Field]) -> RequestHead:
    """The head that consists of these, each well-formed; `minor` is the digit of HTTP/1.x.

    Raises BadRequest, UnsupportedCoding for what means nothing, or two things.
    """
    version = (1, 1) if minor == b"1" else (1, 0)
    found: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        key = name.lower()
        if key in _FRAMING:
            found.setdefault(key, []).append(value)
    names = names_in_connection(found.get(b"connection"))
    upgrade = found.get(b"upgrade")
    expect = found.get(b"expect")
    length = content_length(found)
    chunked = is_chunked(found, version)
    return RequestHead(
        method,
        target,
        version,
        REQUEST_LINES.classify(fields),
        length,
        chunked,
        b"close" not in names and (version == (1, 1) or b"keep-alive" in names),
        # RFC 9110 section 10.1.1: a 1.0 client knows no 100, and can't be sent one.
        expect is not None and version == (1, 1) and expects_continue(expect),
        # RFC 9110 section 7.8: not from a 1.0 client, and only together with Connection.
        b", ".join(upgrade) if upgrade and version == (1, 1) and b"upgrade" in names else None,
        names,
        asked_authority(method, target, found.get(b"host"), version),
    )
