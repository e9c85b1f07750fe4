"""A stored response as the bytes of a file."""

import json
from hashlib import blake2b
from math import inf, isinf

from proxy.policy.stored_response import StoredResponse
from proxy.policy.stored_responses import KEY_BYTES

MAGIC = b"planb-snapshot-1\n"
"""What every file begins with; another form of them gets another number."""

_DIGEST_BYTES = 32


class BadRecordError(ValueError):
    """It is none, or not what was written."""


def encode(key: bytes, full_key: bytes, response: StoredResponse, arrived: float) -> bytes:
    """The file of `response`, which came at `arrived` (Unix seconds); see `StoredResponses.put`."""
    description = {
        "key": key.hex(),
        "full_key": full_key.hex(),
        "status": response.status,
        "head_bytes": len(response.head),
        "arrived": arrived,
        "age": response.age,
        "fresh_for": None if isinf(response.fresh_for) else response.fresh_for,
        "vary": [name.decode("latin-1") for name in response.vary],
        "etag": None if response.etag is None else response.etag.decode("latin-1"),
        "modified": response.modified,
    }
    content = b"%b\n%b%b" % (json.dumps(description).encode(), response.head, response.body)
    return b"%b%b%b" % (MAGIC, _digest(content), content)


def decode(data: bytes, wall: float, now: float) -> tuple[bytes, bytes, StoredResponse]:
    """What `encode` was told: key, whole key, response. `wall` and `now` are the Unix time and the
    monotonic time of now. Raises BadRecordError.

    The digest finds what a crash or a bad disk has done. It is no signature: who may write to
    the folder may say what is served.
    """
    start = len(MAGIC) + _DIGEST_BYTES
    content = data[start:]
    if data[: len(MAGIC)] != MAGIC or data[len(MAGIC) : start] != _digest(content):
        raise BadRecordError("not what was written")
    line, newline, rest = content.partition(b"\n")
    try:
        said = json.loads(line)
        key, full_key = bytes.fromhex(said["key"]), bytes.fromhex(said["full_key"])
        head_bytes, arrived = int(said["head_bytes"]), float(said["arrived"])
        response = StoredResponse(
            int(said["status"]),
            rest[:head_bytes],
            rest[head_bytes:],
            arrived_at=now - (wall - arrived),
            age=float(said["age"]),
            fresh_for=inf if said["fresh_for"] is None else float(said["fresh_for"]),
            vary=tuple(str(name).encode("latin-1") for name in said["vary"]),
            etag=None if said["etag"] is None else str(said["etag"]).encode("latin-1"),
            modified=None if said["modified"] is None else int(said["modified"]),
        )
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        raise BadRecordError(str(error)) from None
    if not newline or len(key) != KEY_BYTES or len(full_key) != KEY_BYTES:
        raise BadRecordError("no keys")
    if not arrived <= wall:
        # The clock was put back: nobody knows how old it is.
        raise BadRecordError("from the future")
    return key, full_key, response


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=_DIGEST_BYTES).digest()
