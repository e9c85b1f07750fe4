"""The character sets of RFC 9110 section 5.6, as the insides of regular expressions' brackets."""

from collections.abc import Sequence

Field = tuple[bytes, bytes]
"""A field line: the name as sent, and the value without the whitespace around it."""

Fields = Sequence[Field]

TOKEN = rb"!#$%&'*+\-.^_`|~0-9A-Za-z"
"""tchar, section 5.6.2."""

TEXT = rb"\t\x20-\x7e\x80-\xff"
"""What a field value may hold, section 5.5: VCHAR, obs-text, SP and HTAB."""

VISIBLE = rb"\x21-\x7e\x80-\xff"
"""VCHAR and obs-text."""

OWS = b" \t"
"""Optional whitespace, section 5.6.3. Never `bytes.strip()`: that takes VT and FF as well."""

TEXT_BYTES = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
"""`TEXT`, one by one."""

AS_TEXT = bytes(code if code in TEXT_BYTES else 0x20 for code in range(256))
"""A table for `bytes.translate` that leaves text as it is, and nothing else: a third of the time
of any other way to ask whether that is what some bytes are."""

AS_PATH = bytes(code if code in TEXT_BYTES and code not in b"\t #" else 0x20 for code in range(256))
"""The same for `VISIBLE`, but for the `#` that begins a fragment."""

TOKEN_BYTES = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""`TOKEN`, for `bytes.translate(None, ...)`: whatever is left over may not stand there."""

LARGEST_LENGTH = 2**63 - 1
"""Larger lengths overflow a signed 64-bit integer further on, and so change their meaning."""


def unexpected(byte: int, place: str) -> str:
    """Words for a byte that may not stand in `place`."""
    match byte:
        case 0x0A:
            return f"bare LF in {place}"
        case 0x0D:
            return f"bare CR in {place}"
    return f"byte 0x{byte:02x} in {place}"
