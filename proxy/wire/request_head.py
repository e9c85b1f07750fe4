"""The head of a request."""

import re
from dataclasses import dataclass

from proxy.wire.authority import is_authority, same_authority
from proxy.wire.errors import BadRequest, HeadTooLarge, UnsupportedCoding, UnsupportedVersion
from proxy.wire.field_section import FieldSectionReader
from proxy.wire.grammar import (
    LARGEST_LENGTH,
    OWS,
    TOKEN,
    VISIBLE,
    Field,
    unexpected,
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
_ABSOLUTE = re.compile(rb"(https?)://([^/?]+)(?:[/?].*)?", re.IGNORECASE)
_WITH_PORT = re.compile(rb".+:[0-9]+")
_CODING = re.compile(rb"[" + TOKEN + rb"]+")

_NO_NAMES: frozenset[bytes] = frozenset()
_KEEP_ALIVE = frozenset({b"keep-alive"})
_FRAMING = frozenset(
    {b"host", b"connection", b"content-length", b"transfer-encoding", b"expect", b"upgrade"}
)


@dataclass(slots=True)
class RequestHead:
    """A request's head: valid, and of one meaning only.

    `method` and `target` are byte for byte as sent; so are the names in `fields`, whose values
    are trimmed. `length` is the Content-Length, None without one; a request that is neither
    `chunked` nor has a `length` has no body. `keep_alive`: the client allows another request.
    `expect_continue`: it waits for 100. `upgrade`: the protocols it offers to change to.
    `connection_names`: the lower-case names in `Connection`. `host` is the authority asked for,
    with its port as sent: the target's own, else the Host field's; empty when there is none.
    """

    method: bytes
    target: bytes
    version: tuple[int, int]
    fields: list[Field]
    length: int | None
    chunked: bool
    keep_alive: bool
    expect_continue: bool
    upgrade: bytes | None
    connection_names: frozenset[bytes]
    host: bytes


class RequestHeadReader:
    """Reads one request head of at most `max_bytes`, its empty line included.

    `started` tells whether any byte has come; `rest` holds the bytes after the head. What is
    malformed is refused with its first wrong byte; what is well-formed but means nothing, or
    two things (a target's form, two Hosts, framing), when the head is complete.
    """

    __slots__ = (
        "_empty_lines",
        "_line",
        "_max_bytes",
        "_part",
        "_part_start",
        "_room",
        "_scanned",
        "_section",
        "_start_line",
        "rest",
        "started",
    )

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
        if data:
            self.started = True
        position = 0
        if self._section is None:
            position = self._take_request_line(data)
            if self._section is None:
                return None
        end = self._section.feed(data, position)
        if end is None:
            return None
        self.rest = data[end:]
        assert self._start_line is not None  # noqa: S101 - set together with the section
        return _request_head(*self._start_line, self._section.fields)

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


def _request_head(method: bytes, target: bytes, minor: bytes, fields: list[Field]) -> RequestHead:
    version = (1, 1) if minor == b"1" else (1, 0)
    found: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        key = name.lower()
        if key in _FRAMING:
            found.setdefault(key, []).append(value)
    names = _connection_names(found)
    upgrade = found.get(b"upgrade")
    expect = found.get(b"expect")
    length = _length(found)
    chunked = _chunked(found, version)
    return RequestHead(
        method,
        target,
        version,
        fields,
        length,
        chunked,
        b"close" not in names and (version == (1, 1) or b"keep-alive" in names),
        # RFC 9110 section 10.1.1: a 1.0 client knows no 100, and can't be sent one.
        expect is not None and version == (1, 1) and _expects_continue(expect),
        # RFC 9110 section 7.8: not from a 1.0 client, and only together with Connection.
        b", ".join(upgrade) if upgrade and version == (1, 1) and b"upgrade" in names else None,
        names,
        _host(method, target, found.get(b"host"), version),
    )


def _expects_continue(values: list[bytes]) -> bool:
    """Whether it is among the expectations: a list (RFC 9110 section 10.1.1)."""
    members = b",".join(values).lower().split(b",")
    return b"100-continue" in [member.strip(OWS) for member in members]


def _connection_names(found: dict[bytes, list[bytes]]) -> frozenset[bytes]:
    values = found.get(b"connection")
    if values is None:
        return _NO_NAMES
    listed = b",".join(values).lower()
    if listed == b"keep-alive":
        return _KEEP_ALIVE
    return frozenset(name for part in listed.split(b",") if (name := part.strip(OWS)))


def _length(found: dict[bytes, list[bytes]]) -> int | None:
    values = found.get(b"content-length")
    if values is None:
        return None
    # RFC 9112 section 6.3 would let a list of equal values pass as one: no client needs that.
    if len(values) > 1:
        raise BadRequest("several Content-Length fields")
    digits = values[0]
    if not digits.isdigit() or len(digits) > 19 or int(digits) > LARGEST_LENGTH:
        raise BadRequest("Content-Length is not one number below 2^63")
    if b"transfer-encoding" in found:
        raise BadRequest("Content-Length together with Transfer-Encoding")
    return int(digits)


def _chunked(found: dict[bytes, list[bytes]], version: tuple[int, int]) -> bool:
    values = found.get(b"transfer-encoding")
    if values is None:
        return False
    if version == (1, 0):
        raise BadRequest("Transfer-Encoding in HTTP/1.0")
    if len(values) > 1:
        raise BadRequest("several Transfer-Encoding fields")
    value = values[0].lower()
    if value == b"chunked":
        return True
    *others, last = (coding.strip(OWS) for coding in value.split(b","))
    if (
        others
        and last == b"chunked"
        and all(_CODING.fullmatch(coding) for coding in others)
        and not {b"chunked", b"identity"}.intersection(others)
    ):
        raise UnsupportedCoding("a transfer coding before chunked")
    raise BadRequest("Transfer-Encoding other than chunked")


def _host(
    method: bytes, target: bytes, hosts: list[bytes] | None, version: tuple[int, int]
) -> bytes:
    """The authority that is asked for (RFC 9112 sections 3.2 and 3.3)."""
    if hosts is None:
        if version == (1, 1):
            raise BadRequest("no Host")
        host = b""
    elif len(hosts) > 1:
        raise BadRequest("several Host fields")
    else:
        host = hosts[0]
        if not is_authority(host):
            raise BadRequest("malformed Host")
    # A fragment is never sent (RFC 9110 section 7.1), and servers differ on where it begins.
    if b"#" in target:
        raise BadRequest("fragment in the request target")
    if method == b"CONNECT":
        if not is_authority(target) or not _WITH_PORT.fullmatch(target):
            raise BadRequest("CONNECT to something other than host and port")
        return target
    if target.startswith(b"/"):
        return host
    if target == b"*":
        if method != b"OPTIONS":
            raise BadRequest("* as the target of another method than OPTIONS")
        return host
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or not is_authority(absolute[2]) or absolute[2].startswith(b":"):
        raise BadRequest("malformed request target")
    # RFC 9112 section 3.2.2 lets a proxy ignore Host. But the shop may not: then rules would
    # see one host and the shop another.
    if hosts is not None and not same_authority(absolute[2], host, absolute[1].lower()):
        raise BadRequest("Host differs from the request target's")
    return absolute[2]
