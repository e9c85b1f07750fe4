"""WebSocket frames by hand (RFC 6455), as much as a tunnel's tests need."""

import asyncio
import base64
import hashlib
import os
from typing import NamedTuple

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LONGEST_PAYLOAD_BYTES = 1 << 24


class Frame(NamedTuple):
    """One unfragmented frame, unmasked."""

    opcode: int
    payload: bytes


def accept_key(key: str) -> str:
    """`Sec-WebSocket-Accept` for a client's `Sec-WebSocket-Key` (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


def render_frame(opcode: int, payload: bytes, *, masked: bool) -> bytes:
    """A final frame; a client's must be `masked`, a server's must not (section 5.1)."""
    mask_bit = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head = bytes([0x80 | opcode, mask_bit | size])
    elif size < 1 << 16:
        head = bytes([0x80 | opcode, mask_bit | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([0x80 | opcode, mask_bit | 127]) + size.to_bytes(8, "big")
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + _masked(payload, mask)


async def read_frame(reader: asyncio.StreamReader, *, masked: bool) -> Frame:
    """The next frame; fails when it is fragmented or its masking is not as `masked` says."""
    first, second = await reader.readexactly(2)
    if not first & 0x80 or first & 0x70:
        raise AssertionError(f"a fragmented or extended frame: {first:#x}")
    if bool(second & 0x80) != masked:
        raise AssertionError(f"masked must be {masked}")
    size = second & 0x7F
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    if size > _LONGEST_PAYLOAD_BYTES:
        raise AssertionError(f"a frame of {size} bytes")
    mask = await reader.readexactly(4) if masked else b""
    payload = await reader.readexactly(size)
    return Frame(first & 0x0F, _masked(payload, mask) if masked else payload)


def _masked(payload: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
