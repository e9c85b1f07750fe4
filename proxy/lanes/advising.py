"""What sidecars tell each other about how fast to call: the same on every lane."""

import secrets
from collections.abc import Iterable
from typing import Final

from proxy.policy.advice import AdviceGate
from proxy.policy.engine import Engine
from proxy.policy.request import Request
from proxy.policy.snapshot import ListenerSpec
from proxy.policy.verdict import Verdict
from proxy.wire.caller import caller_field, read_caller
from proxy.wire.client import is_trusted
from proxy.wire.field_line import CALLER
from proxy.wire.grammar import Field
from proxy.wire.rate_advice import read_rate_advice
from proxy.wire.rate_limit import share_fields
from proxy.wire.request_head import RequestHead

OWN_NAME: Final = secrets.token_hex(8).encode("ascii")
"""What this process is told apart by where it calls other sidecars, and where they call it."""


def note_caller(
    engine: Engine,
    listener: ListenerSpec,
    request: Request,
    head: RequestHead,
    address: str,
    now: float,
) -> None:
    """Takes in what a sidecar says of itself, if the client at `address` is one of `callers`.

    Behind a trusted proxy that is the address that the proxy tells, not its own: who reaches us
    through the shop's own balancer is no caller. A name is one only together with the address, so
    that nobody can use up another's share.
    """
    values = head.values(CALLER)
    if len(values) != 1 or not is_trusted(address, listener.callers):
        return
    caller = read_caller(values[0])
    shared = engine.rules.shared.get(listener.name)
    if caller is not None and shared is not None:
        name, demand = caller
        request.caller = b"%b@%b" % (name, address.encode("latin-1", "replace"))
        if demand >= 0.0:
            shared.told(request.caller, demand, now)


def share_lines(verdict: Verdict) -> bytes:
    """The field lines that tell a caller its share; none for others."""
    shared = verdict.shared
    if shared is None:
        return b""
    wait = verdict.wait if verdict.limit is shared.spec else 0.0
    return share_fields(shared.spec.name, OWN_NAME, shared.share, wait)


def with_lines(head: bytes, lines: bytes) -> bytes:
    """A head, with its empty line, with `lines` more at its end."""
    return head[:-2] + lines + b"\r\n" if lines else head


def caller_line(verdict: Verdict, now: float) -> bytes:
    """The field line that tells the upstream who calls, and how much it would; none where the
    rules don't want it.
    """
    gate = verdict.guard.advice
    if gate is None or not gate.tells_demand:
        return b""
    return caller_field(OWN_NAME, gate.demand(now))


def heed(gate: AdviceGate, status: int, fields: Iterable[Field], now: float) -> None:
    """Has `gate` obey what the upstream's answer says."""
    advice = read_rate_advice(status, fields)
    if advice is not None:
        gate.advised(advice, now)
