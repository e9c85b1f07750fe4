"""One line for each request, or for some of them."""

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from proxy.ops.logs import clock_time, escaped, rfc3339
from proxy.policy.log_spec import LogSpec
from proxy.policy.reasons import Reason
from proxy.policy.verdict import Kind

MOST_FAILURES = 10
"""Failed requests written in a second, and at once: an outage must be seen whatever is sampled,
with its details, and a flood of requests that fail must not become a flood of lines."""

LONGEST_TARGET = 1024
LONGEST_USER_AGENT = 256
LONGEST_HOST = 256
LONGEST_DETAIL = 512


@dataclass(slots=True)
class AccessRecord:
    """What there is to tell about a request. Durations are seconds; what is not known is empty.

    `verdict` is `forwarded`, `stored`, `refused`, `failed` or `abandoned`; `limit` is the one that
    refused; `upstream` is the time spent waiting for the upstream; `waited` that for a turn.
    `detail` says what went wrong. `served_from` is `stored` where a stored response was sent.
    `attempts` is how often it went upstream, where that may be several times.
    """

    listener: str
    route: str
    client: str
    method: str
    target: str
    host: str
    user_agent: str
    status: int
    verdict: str
    reason: Reason | None
    limit: str
    duration: float
    own: float
    waited: float
    upstream: float
    bytes_in: int
    bytes_out: int
    detail: str
    served_from: str = ""
    attempts: int = 0


class AccessLog:
    """Writes requests to `put`, as `spec` says.

    Samples are drawn at random, not every nth: clients that come in step with a count would be
    seen always or never. Of failed requests all are written, up to MOST_FAILURES a second. The
    exact numbers are the metrics'.
    """

    def __init__(
        self,
        spec: LogSpec,
        put: Callable[[str], None],
        *,
        chance: Callable[[], float] = random.random,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._put = put
        self._chance = chance
        self._wall = wall
        # A token bucket: the failures that may be written now, and when that was so.
        self._failures = float(MOST_FAILURES)
        self._failures_at = 0.0
        self.configure(spec)

    def configure(self, spec: LogSpec) -> None:
        """Go on as `spec` says."""
        self._access = spec.access
        self._admitted_ratio = spec.sample_admitted_ratio
        self._refused_ratio = spec.sample_refused_ratio
        self._render = _json_line if spec.format == "json" else _console_line

    def wants(self, kind: Kind, now: float) -> bool:
        """Whether this request is to be written; asked before its record is built.

        A `failed` one was admitted, and not answered by the upstream. `now` is monotonic seconds.
        """
        if not self._access:
            return False
        if kind == "failed":
            return self._takes_failure(now)
        ratio = self._refused_ratio if kind == "refused" else self._admitted_ratio
        return ratio > 0.0 and self._chance() < ratio

    def write(self, record: AccessRecord) -> None:
        """Write `record`, wanted or not."""
        self._put(self._render(self._wall(), record))

    def _takes_failure(self, now: float) -> bool:
        passed, self._failures_at = now - self._failures_at, now
        self._failures = min(self._failures + passed * MOST_FAILURES, float(MOST_FAILURES))
        if self._failures < 1.0:
            return False
        self._failures -= 1.0
        return True


def _json_line(now: float, record: AccessRecord) -> str:
    again = {"attempts": record.attempts} if record.attempts > 1 else {}
    return json.dumps(
        {
            "time": rfc3339(now),
            "level": "info",
            "logger": "access",
            "listener": record.listener,
            "route": record.route,
            "client": record.client,
            "method": record.method,
            "target": _cut(record.target, LONGEST_TARGET),
            "host": _cut(record.host, LONGEST_HOST),
            "status": record.status,
            "verdict": record.verdict,
            "reason": record.reason or "",
            "served_from": record.served_from,
            "limit": record.limit,
            "duration_seconds": round(record.duration, 6),
            "own_seconds": round(record.own, 6),
            "waited_seconds": round(record.waited, 6),
            "upstream_seconds": round(record.upstream, 6),
            "bytes_in": record.bytes_in,
            "bytes_out": record.bytes_out,
            "detail": _cut(record.detail, LONGEST_DETAIL),
            "user_agent": _cut(record.user_agent, LONGEST_USER_AGENT),
            **again,
        }
    )


def _console_line(now: float, record: AccessRecord) -> str:
    why = f" {record.reason}" if record.reason else ""
    limit = f" by {record.limit}" if record.limit else ""
    instead = ", last good answer sent" if record.served_from and why else ""
    again = f", attempt {record.attempts}" if record.attempts > 1 else ""
    detail = f": {_cut(record.detail, LONGEST_DETAIL)}" if record.detail else ""
    return escaped(
        f"{clock_time(now)} access   {record.status or '---'} {record.method}"
        f" {_cut(record.target, LONGEST_TARGET)} {record.verdict}{why}{limit}{instead}{again}"
        f" {record.duration * 1000:.1f} ms ({record.route}, {record.client}){detail}"
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
