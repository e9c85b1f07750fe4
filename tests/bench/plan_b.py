"""Plan B with the rule set: as it comes, compiled, or on its full lane."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from tests.bench.machine import PROXY_CORE, affordable_connections, pinned
from tests.bench.rule_set import GENEROUS, ROUTES, SAMPLED_ONE_IN, TIGHT
from tests.bench.server_process import Running
from tests.support.planb import PLANB, PlanB

COMPILED = Path(__file__).parents[2] / ".venv-compiled/bin/planb"
"""The command of the compiled wheel, where `make` installs it."""
SMALL_PAGE = Path(__file__).with_name("small_page.html")
_RULES = """
version: 1
server: {{express: {express}, max_connections: {connections}}}
listeners:
  - name: storefront
    bind: 127.0.0.1:0
    upstream: shop
upstreams:
  shop:
    url: http://127.0.0.1:{upstream}
routes:
{routes}
  - name: refused
    match: {{path: "/refused/**"}}
    limits: [{{rate: {tight}/s, burst: 1}}]
    fallback: {{page: small}}
  - name: refused-page
    match: {{path: "/refused-page/**"}}
    limits: [{{rate: {tight}/s, burst: 1}}]
  - name: everything-else
    match: {{path: "/**"}}
    limits: {limits}
pages:
  small: {{html: {small_page}}}
logs: {{format: json, sample_admitted: {sampled}%, sample_refused: {sampled}%}}
"""


@contextlib.asynccontextmanager
async def express_lane(directory: Path, upstream_port: int) -> AsyncIterator[Running]:
    """Plan B as it comes."""
    async with run_plan_b(directory, rules(upstream_port)) as running:
        yield running


@contextlib.asynccontextmanager
async def compiled(directory: Path, upstream_port: int) -> AsyncIterator[Running]:
    """The compiled wheel."""
    async with run_plan_b(directory, rules(upstream_port), (str(COMPILED),)) as running:
        yield running


@contextlib.asynccontextmanager
async def full_lane(directory: Path, upstream_port: int) -> AsyncIterator[Running]:
    """Plan B with `express: false`."""
    async with run_plan_b(directory, rules(upstream_port, express=False)) as running:
        yield running


def rules(
    upstream_port: int, routes: int = ROUTES, generous: int = GENEROUS, *, express: bool = True
) -> str:
    """Plan B's rules with `routes` routes `/r0/...`, `/r1/...`, two limits on each."""
    limits = (
        f"[{{rate: {generous}/s, burst: {generous}}}, "
        f"{{rate: {generous}/s, burst: {generous}, per: client_address}}]"
    )
    lines = [
        f'  - {{name: r{number}, match: {{path: "/r{number}/**"}}, limits: {limits}}}'
        for number in range(routes)
    ]
    return _RULES.format(
        connections=affordable_connections() + 64,
        express=str(express).lower(),
        upstream=upstream_port,
        routes="\n".join(lines),
        limits=limits,
        small_page=SMALL_PAGE,
        tight=TIGHT,
        sampled=100 / SAMPLED_ONE_IN,
    )


@contextlib.asynccontextmanager
async def run_plan_b(
    directory: Path, rules_text: str, command: Sequence[str] = PLANB
) -> AsyncIterator[Running]:
    """Plan B with a listener `storefront`, on rules of one's own."""
    # What is installed must not find this folder's sources first.
    environment = {} if command is PLANB else {"PYTHONPATH": ""}
    planb = PlanB(
        rules_text,
        directory,
        environment=environment,
        prefix=pinned(PROXY_CORE),
        command=command,
    )
    async with planb:
        yield Running(planb.port("storefront"), planb.pid)
