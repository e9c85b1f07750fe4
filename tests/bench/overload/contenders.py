"""Who is measured: one worker each, started afresh for each run."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from tests.bench.contenders import Contender
from tests.bench.overload import envoy, nginx
from tests.bench.overload.haproxy import haproxy
from tests.bench.overload.plan_b import adaptive_rules, whole_rules
from tests.bench.plan_b import COMPILED, run_plan_b
from tests.bench.server_process import Running
from tests.support.planb import PLANB


@contextlib.asynccontextmanager
async def _no_proxy(_: Path, upstream_port: int) -> AsyncIterator[Running]:
    yield Running(upstream_port, 0)


def _plan_b(rules: Callable[[int], str], command: Sequence[str] = PLANB) -> Contender:
    return lambda directory, port: run_plan_b(directory, rules(port), command)


_COMPILED = (str(COMPILED),)

NO_PROXY = "no proxy"
ADAPTIVE, WHOLE = "planb adaptive", "planb all rules"
CONTENDERS: dict[str, Contender] = {
    NO_PROXY: _no_proxy,
    "nginx limit_req": nginx.limit_req,
    "nginx limit_conn": nginx.limit_conn,
    "haproxy queue": haproxy,
    "envoy adaptive": envoy.adaptive_documented,
    "envoy tuned": envoy.adaptive_tuned,
    "envoy ratelimit": envoy.local_ratelimit,
    ADAPTIVE: _plan_b(adaptive_rules),
    WHOLE: _plan_b(whole_rules),
}
if COMPILED.exists():
    CONTENDERS[f"{ADAPTIVE}, compiled"] = _plan_b(adaptive_rules, _COMPILED)
    CONTENDERS[f"{WHOLE}, compiled"] = _plan_b(whole_rules, _COMPILED)
