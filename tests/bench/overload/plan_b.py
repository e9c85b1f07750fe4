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
routes:
{routes}
pages:
  small: {{html: {page}}}
"""

# What a shop's owner might write who knows its routes: no buyer may ask for more than a person
# would, and what is not needed to buy may not fill the shop by itself.
_PER_CLIENT = '{rate: 10/s, burst: 20, per: "cookie:sid"}'
_RATES = {"high": CAPACITY, "normal": 0.6 * CAPACITY, "low": 0.3 * CAPACITY}


def adaptive_rules(upstream_port: int) -> str:
    """Adaptive concurrency alone: no number, only which route is how important."""
    return _rules(upstream_port, {})


def whole_rules(upstream_port: int) -> str:
    """The same with a rate for each route and one for each client."""
    limits = {
        kind.name: ", ".join(
            [
                _PER_CLIENT,
                *([f"{{rate: {_RATES[kind.name]:g}/s}}"] if kind.name in _RATES else ()),
            ]
        )
        for kind in KINDS
    }
    return _rules(upstream_port, limits)


def _rules(upstream_port: int, limits: dict[str, str]) -> str:
    routes = "\n".join(
        f"  - {{name: {kind.name}, priority: {kind.name}, match: {{path: {kind.path}}}, "
        f"limits: [{limits.get(kind.name, '')}], fallback: {{page: small}}}}"
        for kind in KINDS
    )
    return _RULES.format(
        connections=affordable_connections(),
        upstream=upstream_port,
        routes=routes,
        page=SMALL_PAGE,
    )
