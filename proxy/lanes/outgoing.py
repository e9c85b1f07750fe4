"""A request on its way out: to which upstream, and with which head; the same on every lane."""

from proxy.lanes.advising import caller_line
from proxy.lanes.attempts import Attempts, amended
from proxy.lanes.errors import TravelError
from proxy.lanes.full_upstream import Upstream
from proxy.lanes.services import Services
from proxy.policy.deadline import NO_DEADLINE
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import ListenerSpec
from proxy.policy.verdict import Verdict
from proxy.wire.fields import forward_request_head
from proxy.wire.outbound import outbound_request_head, upstream_asked_for
from proxy.wire.request_head import RequestHead


def upstream_for(
    services: Services, listener: ListenerSpec, head: RequestHead, now: float
) -> Upstream:
    """Where a request goes, by `listener`'s rules of now: those of its arrival may name an upstream
    that is gone. Of several endpoints it is one. Raises TravelError if it may not go anywhere any
    more. `now` is monotonic seconds.
    """
    name = listener.upstream
    if listener.outbound:
        name = upstream_asked_for(head.target, name, listener.hosts)
    if not name:
        raise TravelError(Reason.HOST_NOT_ALLOWED, "its host is not in the rules any more")
    return services.upstreams[name].endpoint(now)


def head_to_send(
    listener: ListenerSpec,
    upstream: Upstream,
    verdict: Verdict,
    head: RequestHead,
    peer: str,
    trusted: bool,
    attempts: Attempts | None,
    now: float,
) -> bytes:
    """What `upstream` is sent of `head`, which came from `peer`: see `proxy.wire`. `attempts` is
    None where it is not sent again.
    """
    lookup = verdict.lookup
    whole = lookup is not None and lookup.whole
    host = upstream.authority
    without = extra = b""
    if attempts is not None or verdict.deadline != NO_DEADLINE:
        without, extra = amended(verdict, attempts, head, now)
    if verdict.guard.advice is not None and (said := caller_line(verdict, now)):
        extra = extra + b"\r\n" + said if extra else said
    if listener.outbound:
        return outbound_request_head(head, host=host, whole=whole, without=without, extra=extra)
    return forward_request_head(
        head,
        peer=peer,
        trusted=trusted,
        host=host,
        whole=whole,
        without=without,
        extra=extra,
    )
