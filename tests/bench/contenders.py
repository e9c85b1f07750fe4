"""Who is measured: proxies with one worker and like rules, started when their turn comes."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from tests.bench.envoy import envoy
from tests.bench.haproxy import haproxy
from tests.bench.nginx import nginx
from tests.bench.plan_b import COMPILED, compiled, express_lane, full_lane
from tests.bench.server_process import Running

Contender = Callable[[Path, int], contextlib.AbstractAsyncContextManager[Running]]
"""Starts it in a folder of its own, before the upstream on a port."""

PLANB, PLANB_COMPILED, FULL_LANE = "planb", "planb compiled", "planb full lane"
CONTENDERS: dict[str, Contender] = {
    "nginx": nginx,
    "haproxy": haproxy,
    "envoy": envoy,
    PLANB: express_lane,
    **({PLANB_COMPILED: compiled} if COMPILED.exists() else {}),
    FULL_LANE: full_lane,
}
"""The first is the measure of the others."""
