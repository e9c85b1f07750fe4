"""What the fields of a request's head mean together: framing, connection, host.

`Found` are the values of those fields, by their lower-case names. What means nothing, or two
things, raises BadRequest.
"""

import re

from proxy.wire.authority import is_authority, same_authority
from proxy.wire.errors import BadRequest, UnsupportedCoding
from proxy.wire.grammar import LARGEST_LENGTH, OWS, TOKEN

Found = dict[bytes, list[bytes]]

_ABSOLUTE = re.compile(rb"(https?)://([^/?]+)(?:[/?].*)?", re.IGNORECASE)
_WITH_PORT = re.compile(rb".+:[0-9]+")
_CODING = re.compile(rb"[" + TOKEN + rb"]+")


def expects_continue(values: list[bytes]) -> bool:
    """Whether it is among the expectations: a list (RFC 9110 section 10.1.1)."""
    members = b",".join(values).lower().split(b",")
    return b"100-continue" in [member.strip(OWS) for member in members]


def content_length(found: Found) -> int | None:
    """The Content-Length, None without one; with Transfer-Encoding it is refused."""
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


def is_chunked(found: Found, version: tuple[int, int]) -> bool:
    """Whether the body comes in chunks. Raises UnsupportedCoding for other codings before."""
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


def asked_authority(
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
