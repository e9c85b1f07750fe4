"""What is sent through both lanes: bytes from a client, and bytes from a shop."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

Pieces = tuple[bytes, ...]
"""Bytes that are sent one after another: each only when the one before has been read."""


class End(StrEnum):
    """What a shop does with its connection after an answer. `TUNNEL`: sends back what comes."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    TUNNEL = "tunnel"


@dataclass(frozen=True, slots=True)
class Reply:
    """How the shop answers one request of a case: the first, or after `skip` others.

    `early` is sent when the request's head has come, `pieces` when all of it has. `at_once`
    leaves no moment between the last piece and the connection's end.
    """

    pieces: Pieces = ()
    early: bytes = b""
    end: End = End.KEEP
    at_once: bool = False
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """`steps` are sent by one client on one connection: each when all that came before it has had
    its consequences. A request that `reply` is not for is answered plainly: with what it was.

    `methods` are those of the requests, as far as they are not GET. `watch` is how many seconds
    to wait for consequences that need time. With `resets` the client leaves by a reset, and says
    nothing before that but its steps.
    """

    steps: tuple[Pieces, ...]
    reply: Reply | None = None
    methods: tuple[bytes, ...] = ()
    listener: str = "storefront"
    watch: float = 0.0
    resets: bool = False


def case(
    *steps: bytes,
    reply: Reply | None = None,
    methods: tuple[bytes, ...] = (),
    listener: str = "storefront",
    watch: float = 0.0,
    resets: bool = False,
) -> Case:
    """A case whose steps are sent whole."""
    return Case(tuple((step,) for step in steps), reply, methods, listener, watch, resets)


def cut_requests(whole: Case) -> Iterator[Case]:
    """`whole` with one of its steps in two pieces, at every position."""
    for index, (step,) in enumerate(whole.steps):
        for position in range(1, len(step)):
            pieces = (step[:position], step[position:])
            yield replace(whole, steps=(*whole.steps[:index], pieces, *whole.steps[index + 1 :]))


def cut_replies(whole: Case) -> Iterator[Case]:
    """`whole` with one piece of the shop's reply in two, at every position."""
    assert whole.reply is not None
    for index, piece in enumerate(whole.reply.pieces):
        for position in range(1, len(piece)):
            pieces = (
                *whole.reply.pieces[:index],
                *(piece[:position], piece[position:]),
                *whole.reply.pieces[index + 1 :],
            )
            yield replace(whole, reply=replace(whole.reply, pieces=pieces))
