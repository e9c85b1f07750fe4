"""Reading what was recorded: the HTTP/1.1 messages in a run of bytes, complete or not."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_LENGTH = re.compile(rb"content-length:[ \t]*([0-9]+)[ \t]*", re.IGNORECASE)
_CHUNKED = re.compile(rb"transfer-encoding:[ \t]*chunked[ \t]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `start` is its first line, `lines` are those of its fields, as they came.

    `body` and `trailers` are decoded: how a body was cut into chunks is nobody's business.
    """

    start: bytes
    lines: tuple[bytes, ...] = ()
    body: bytes = b""
    trailers: tuple[bytes, ...] = ()
    complete: bool = True

    def text(self) -> list[str]:
        """The message in lines to be compared and read."""
        rest = [] if self.complete else ["(incomplete)"]
        lines = [self.start, *self.lines, b"body %r" % self.body, *self.trailers]
        return [line.decode("latin-1") for line in lines] + rest


def read_request(data: bytes | bytearray) -> tuple[Message, int] | None:
    """The request that `data` begins with, and its length; None without a whole head."""
    return _read(data, 0, has_body=True, until_close=False)


def read_responses(data: bytes | bytearray, methods: Sequence[bytes]) -> Iterator[Message]:
    """All responses in `data`, interim ones too, to requests of `methods`: GET after the last.

    What follows a 101 is no HTTP any more, and comes as the body of a message of its own.
    """
    at = asked = 0
    while at < len(data):
        method = methods[asked] if asked < len(methods) else b"GET"
        status = data[at + 9 : at + 12]
        bodiless = method == b"HEAD" or status[:1] == b"1" or status in (b"204", b"304")
        read = _read(data, at, has_body=not bodiless, until_close=not bodiless)
        if read is None:
            yield Message(bytes(data[at:]), complete=False)
            return
        message, at = read
        yield message
        if status == b"101":
            if at < len(data):
                yield Message(b"(tunnel)", body=bytes(data[at:]), complete=False)
            return
        asked += status[:1] != b"1"


def _read(
    data: bytes | bytearray, at: int, *, has_body: bool, until_close: bool
) -> tuple[Message, int] | None:
    end = data.find(b"\r\n\r\n", at)
    if end < 0:
        return None
    start, *lines = bytes(data[at:end]).split(b"\r\n")
    at = end + 4
    if not has_body:
        return Message(start, tuple(lines)), at
    if any(_CHUNKED.fullmatch(line) for line in lines):
        body, trailers, complete, at = _read_chunks(data, at)
        return Message(start, tuple(lines), body, trailers, complete), at
    lengths = [match[1] for line in lines if (match := _LENGTH.fullmatch(line))]
    if lengths:
        assert len(lengths) == 1, data
        size = int(lengths[0])
        body = bytes(data[at : at + size])
        return Message(start, tuple(lines), body, complete=len(body) == size), at + len(body)
    body = bytes(data[at:]) if until_close else b""
    return Message(start, tuple(lines), body), at + len(body)


def _read_chunks(data: bytes | bytearray, at: int) -> tuple[bytes, tuple[bytes, ...], bool, int]:
    body = bytearray()
    while (end := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:end], 16)
        at = end + 2
        if size:
            body += data[at : at + size]
            at += size + 2
            continue
        trailers: list[bytes] = []
        while (end := data.find(b"\r\n", at)) >= 0:
            line, at = bytes(data[at:end]), end + 2
            if not line:
                return bytes(body), tuple(trailers), True, at
            trailers.append(line)
        break
    return bytes(body), (), False, len(data)
