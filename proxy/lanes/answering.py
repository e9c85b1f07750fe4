"""What is asked about a request, and what is said when it is refused: the same on every lane."""

from collections.abc import Callable
from typing import Final

from proxy.lanes.advising import heed, note_caller, share_lines
from proxy.lanes.full_upstream import Upstream
from proxy.lanes.services import Entry, Services
from proxy.policy.answers import Answer
from proxy.policy.engine import Engine
from proxy.policy.reasons import REQUEST_AT_FAULT, Reason
from proxy.policy.request import Request
from proxy.policy.rules import way_to
from proxy.policy.snapshot import ListenerSpec
from proxy.policy.verdict import REFUSE, Completion, Kind, Verdict
from proxy.wire.authority import host_name
from proxy.wire.negotiation import choose_form
from proxy.wire.outbound import upstream_asked_for
from proxy.wire.prepared import PreparedAnswers
from proxy.wire.request_head import USUAL_METHODS, RequestHead
from proxy.wire.response_head import ResponseHead
from proxy.wire.target import read_path

SMALL_BODY_BYTES: Final = 65536
"""A refused request's body up to this size is read to its end and the connection kept."""

MOST_REFUSALS = 1000
"""So many refusals in a row end a connection: whoever goes on must connect again, which gives its
place to others when connections are scarce, and lets a balancer before us choose anew. As many as
nginx answers on a connection by default (keepalive_requests).
"""


# A name that is not compiled, nor Final here, is looked up each time.
_AT_FAULT: Final = REQUEST_AT_FAULT

# The same text each time: it knows its hash, and is equal at once where routes are remembered.
_METHODS: Final = {method: method.decode("ascii") for method in USUAL_METHODS}


def as_request(head: RequestHead, client: bytes) -> Request:
    """What rules see of a request, whose client is counted as `client` (see `client_key`)."""
    raw_path, query = head.path_and_query()
    path, other_paths = read_path(raw_path)
    method = _METHODS.get(head.method)
    return Request(
        head.method.decode("ascii") if method is None else method,
        host_name(head.host),
        path,
        query,
        head,
        client,
        None if head.chunked else head.length or 0,
        other_paths=other_paths,
        target=head.target,
    )


def judge(
    engine: Engine,
    listener: ListenerSpec,
    head: RequestHead,
    client: bytes,
    address: str,
    now: float,
    wake: Callable[[], None],
) -> Verdict:
    """The engine's verdict on a request that came in on `listener`; see `Engine.decide`. Its
    client, at `address`, is counted as `client`, and may be a sidecar that says who it is.
    """
    way = listener.name
    if listener.outbound:
        upstream = upstream_asked_for(head.target, listener.upstream, listener.hosts)
        if not upstream:
            return engine.reject(way, Reason.HOST_NOT_ALLOWED, now)
        way = way_to(listener, upstream)
    request = as_request(head, client)
    if listener.callers:
        note_caller(engine, listener, request, head, address, now)
    return engine.decide(way, request, now, wake)


def answered(
    services: Services,
    upstream: Upstream,
    verdict: Verdict,
    head: ResponseHead,
    wait: float,
    now: float,
) -> None:
    """Tells all who want to know that the upstream's answer is there, after `wait` seconds."""
    upstream.answered(head, wait, now)
    services.engine.answered(verdict, head.status, wait, now)
    if verdict.guard.advice is not None:
        heed(verdict.guard.advice, head.status, head.fields, now)


def may_go_on(
    services: Services,
    reason: Reason | None,
    head: RequestHead | None,
    *,
    complete: bool,
    refusals: int,
) -> bool:
    """Whether the connection may be kept after an answer of our own, to `reason` if there is one.

    Of a body that is not `complete` the rest must be sure to come, and little. `refusals` counts
    those of this connection without anything forwarded in between, this one included.
    """
    if head is None or reason in _AT_FAULT or refusals >= MOST_REFUSALS:
        return False
    if not head.keep_alive or head.version != (1, 1) or services.engine.draining:
        return False
    return complete or (
        not head.expect_continue and head.length is not None and head.length <= SMALL_BODY_BYTES
    )


def own_answer(
    services: Services,
    verdict: Verdict,
    answer: Answer,
    head: RequestHead | None,
    *,
    keep_alive: bool,
) -> bytes:
    """`answer`, of those of `verdict.guard`, whole, in the form that the client likes best."""
    return rendered(
        services.engine,
        services.prepared,
        services.date(),
        verdict,
        answer,
        head,
        keep_alive=keep_alive,
    )


def rendered(
    engine: Engine,
    prepared: PreparedAnswers,
    date: bytes,
    verdict: Verdict,
    answer: Answer,
    head: RequestHead | None,
    *,
    keep_alive: bool,
) -> bytes:
    """The same, for those who have no lanes; `date` is that of now."""
    head_only = False
    if head is None:
        form = choose_form(answer, None, None)
    else:
        head_only = head.method == b"HEAD"
        accept, accept_language = head.preferences()
        # A page that answers these may reload itself.
        safe = head_only or head.method == b"GET"
        form = choose_form(answer, accept, accept_language, safe=safe)
    refused = verdict.reason is answer.reason
    return prepared.render(
        answer,
        form,
        date=date,
        retry_after=verdict.retry_after if refused else engine.retry_after(answer),
        limit=verdict.limit,
        wait=verdict.wait,
        more=share_lines(verdict),
        close=not keep_alive,
        head_only=head_only,
    )


def settle(
    services: Services,
    verdict: Verdict,
    completion: Completion,
    head: RequestHead | None,
    client: str,
    now: float,
    *,
    upstream_wait: float = 0.0,
    bytes_in: int = 0,
    bytes_out: int = 0,
    detail: str = "",
) -> None:
    """Ends an exchange: settles its verdict, once, and writes it down if it is to be.

    `client` is the client's address, `now` monotonic seconds; see `Entry` for the others.
    """
    kind: Kind = "failed" if completion.reason is not None else "admitted"
    if verdict.state is REFUSE:
        kind = "refused"
    services.engine.settle(verdict, completion, now)
    if services.wants(kind, now):
        services.log.write(
            Entry(verdict, completion, head, client, upstream_wait, bytes_in, bytes_out, detail)
        )
