"""Plan B before the shop: with nothing set by hand, and with rules that a shop would have."""

from tests.bench.machine import affordable_connections
from tests.bench.overload.customers import KINDS
from tests.bench.overload.shop import CAPACITY
from tests.bench.plan_b import SMALL_PAGE

_RULES = """
version: 1
server: {{max_connections: {connections}}}
listeners:
  - name: storefront
    bind: 127.0.0.1:0
    upstream: shop
upstreams:
  shop:
    url: http://127.0.0.1:{upstream}
    adaptive_concurrency: {{}}
{more}
routes:
{routes}
pages:
  small: {{html: {page}}}
"""

# What a shop's owner might write who knows its routes: no buyer may ask for more than a person
# would, and what is not needed to buy may not fill the shop by itself.
_PER_CLIENT = '{rate: 10/s, burst: 20, per: "cookie:sid"}'
_OF_ROUTES = {
    "critical": "{concurrency: 64, queue: 128, queue_timeout: 200ms}",
    "high": f"{{rate: {CAPACITY}/s}}",
    "normal": f"{{rate: {0.6 * CAPACITY:g}/s}}",
    "low": f"{{rate: {0.3 * CAPACITY:g}/s}}",
}

# Shedding by what can be told of the shop and of Plan B itself: the machine's processors are busy
# with customers who are not there in a shop.
_GUARDS = """\
    breaker: {}
shedding:
  signals:
    memory: {start: 80%, full: 90%, refuse: 95%}
    loop_lag: {start: 20ms, full: 100ms, refuse: 500ms}
    upstream_latency: {start: 100ms, full: 200ms, refuse: 500ms}
    upstream_errors: {start: 10%, full: 30%, refuse: 60%}
"""


def adaptive_rules(upstream_port: int) -> str:
    """Adaptive concurrency alone: no number, only which route is how important."""
    return _rules(upstream_port, {})


def whole_rules(upstream_port: int) -> str:
    """The same with limits for each route and each client, a breaker, and shedding."""
    limits = {name: f"{_PER_CLIENT}, {limit}" for name, limit in _OF_ROUTES.items()}
    return _rules(upstream_port, limits, _GUARDS)


def _rules(upstream_port: int, limits: dict[str, str], more: str = "") -> str:
    routes = "\n".join(
        f"  - {{name: {kind.name}, priority: {kind.name}, match: {{path: {kind.path}}}, "
        f"limits: [{limits.get(kind.name, '')}], fallback: {{page: small}}}}"
        for kind in KINDS
    )
    return _RULES.format(
        connections=affordable_connections(),
        upstream=upstream_port,
        more=more,
        routes=routes,
        page=SMALL_PAGE,
    )
