"""An engine with rules made in one line, and requests that keep account of themselves."""

from collections.abc import Mapping, Sequence

from proxy.policy.answers import Answer, Form
from proxy.policy.concurrency import ConcurrencyLimiter
from proxy.policy.engine import Engine
from proxy.policy.keys import KeyKind, KeySource
from proxy.policy.reasons import RETRY_LATER, Reason
from proxy.policy.request import Fields, Request
from proxy.policy.rules import Rules
from proxy.policy.snapshot import (
    ConcurrencySpec,
    LimitSpec,
    ListenerSpec,
    PaceSpec,
    QueueOrder,
    RateSpec,
    RouteSpec,
    Snapshot,
    UpstreamSpec,
)
from proxy.policy.verdict import Completion, State, Verdict

FRONT = "front"
CLIENT = KeySource(KeyKind.CLIENT_ADDRESS)
FORM = Form("text/plain", "", b"", b"", (b"",))

ANSWERS = {
    reason: Answer(reason, reason.status, (FORM,), (2.0, 6.0) if reason in RETRY_LATER else None)
    for reason in Reason
}


def rate(
    name: str,
    per_second: float,
    burst: int = 1,
    *,
    per: KeySource | None = None,
    shadow: bool = False,
) -> RateSpec:
    return RateSpec(name, per_second, burst, int(per_second), 1, per, shadow=shadow)


def pace(name: str, per_second: float, max_wait: float, *, shadow: bool = False) -> PaceSpec:
    return PaceSpec(name, per_second, int(per_second), 1, max_wait, shadow=shadow)


def concurrency(
    name: str,
    most: int,
    queue: int = 0,
    timeout: float = 1.0,
    *,
    order: QueueOrder = QueueOrder.FIFO,
    per: KeySource | None = None,
    shadow: bool = False,
) -> ConcurrencySpec:
    return ConcurrencySpec(name, most, queue, timeout if queue else 0.0, order, per, shadow)


def snapshot(
    *limits: LimitSpec,
    routes: Mapping[str, Sequence[str]] | None = None,
    everywhere: Sequence[str] = (),
    answers: Mapping[Reason, Answer] = ANSWERS,
    max_body_bytes: int | None = None,
) -> Snapshot:
    """Rules with a listener, whose limits are `everywhere`. `routes` are the limits of each, by
    the path's first segment; without them a route `all` takes everything, and has all the limits
    that are not `everywhere`.
    """
    if routes is None:
        own = tuple(each.name for each in limits if each.name not in everywhere)
        specs = [RouteSpec("all", "/**", limits=own, answers=answers)]
    else:
        specs = [
            RouteSpec(name, f"/{name}/**", limits=tuple(names), answers=answers)
            for name, names in routes.items()
        ]
    return Snapshot(
        (
            ListenerSpec(
                FRONT, "::1", 1, "shop", (), tuple(everywhere), max_body_bytes=max_body_bytes
            ),
        ),
        {"shop": UpstreamSpec("shop", "::1", 2)},
        tuple(specs),
        {each.name: each for each in limits},
        answers,
    )


def request(
    path: str = "/",
    client: str = "192.0.2.1",
    *,
    fields: Fields = (),
    query: bytes = b"",
    length: int | None = 0,
    other_paths: tuple[str, ...] = (),
) -> Request:
    return Request(
        *("GET", "shop.test", path, query, fields, b"@" + client.encode(), length),
        other_paths=other_paths,
        target=path.encode() + (b"?" + query if query else b""),
    )


class Call:
    """A request in the engine's hands, as a lane would hold it."""

    def __init__(self, engine: Engine, about: Request, now: float) -> None:
        self.woken = 0
        self._engine = engine
        self.verdict: Verdict = engine.decide(FRONT, about, now, self._wake)

    def _wake(self) -> None:
        self.woken += 1

    @property
    def state(self) -> State:
        return self.verdict.state

    @property
    def reason(self) -> Reason | None:
        return self.verdict.reason

    def resume(self, now: float) -> None:
        self._engine.resume(self.verdict, now)

    def settle(self, now: float, status: int = 200) -> None:
        silence = now - self.verdict.decided_at - self.verdict.waited
        completion = Completion(status, 0.1, 0.01, None, silence)
        self._engine.settle(self.verdict, completion, now)


class Guarded:
    """An engine whose clock is the `now` of each call. `jitter` is what `Retry-After` is drawn
    with.
    """

    def __init__(self, rules: Snapshot, now: float = 0.0) -> None:
        self.jitter = 0.0
        self.engine = Engine(rules, now, lambda: self.jitter)

    @property
    def rules(self) -> Rules:
        return self.engine.rules

    def ask(self, now: float, path: str = "/", **more: object) -> Call:
        return Call(self.engine, request(path, **more), now)  # type: ignore[arg-type]

    def admits(self, now: float, path: str = "/", **more: object) -> bool:
        """Whether a request is forwarded; it is over at once."""
        call = self.ask(now, path, **more)
        forwarded = call.state is State.FORWARD
        call.settle(now)
        return forwarded

    def reload(self, rules: Snapshot, now: float) -> None:
        *_, built = self.engine.build(rules)
        self.engine.swap(built, now)

    def concurrency(self, name: str) -> ConcurrencyLimiter:
        limiter = self.rules.limits[name].limiter
        assert isinstance(limiter, ConcurrencyLimiter)
        return limiter

    def counts(self, limit: str) -> tuple[int, int, int]:
        """What `limit` has admitted, refused, and would have refused."""
        counters = self.rules.limits[limit].counters
        return counters.admitted, counters.refused, counters.shadow_refused
