"""Who is a caller, and what is said to it; tests/scenarios/test_advice.py has the wire."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from proxy.lanes.advising import caller_line, heed, note_caller, share_lines, with_lines
from proxy.lanes.answering import as_request
from proxy.lanes.services import Services
from proxy.policy.advice import AdviceGate
from proxy.policy.request import Request
from proxy.policy.shared_rate import OTHERS
from proxy.policy.snapshot import AdviceSpec, ListenerSpec
from proxy.policy.verdict import Verdict
from proxy.wire.client import client_key
from proxy.wire.request_head import RequestHead, RequestHeadReader
from proxy.wire.response_head import ResponseHeadReader
from tests.lanes.express_stage import stage
from tests.support.raw_client import request_head

ADVISE = "limits: [{rate: 50/s}], advise: {rate: 100/s, callers: [10.0.0.0/8]}"
CALLER = 'Planb-Caller: "one";demand=40.0'


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with stage(tmp_path, listener=ADVISE) as it:
        yield it.services


def head_of(*lines: str) -> RequestHead:
    head = RequestHeadReader(65536).feed(request_head("GET", "/", *lines))
    assert head is not None
    return head


def noted(services: Services, address: str, *lines: str) -> Request:
    head = head_of(*lines)
    request = as_request(head, client_key(address))
    spec = services.listener("storefront")
    note_caller(services.engine, spec, request, head, address, time.monotonic())
    return request


def listener(services: Services, **changes: object) -> ListenerSpec:
    return replace(services.listener("storefront"), **changes)  # type: ignore[arg-type]


async def test_a_caller_is_known_by_its_name_together_with_its_address(services: Services) -> None:
    assert noted(services, "10.1.2.3", CALLER).caller == b"one@10.1.2.3"
    assert noted(services, "10.1.2.4", CALLER).caller == b"one@10.1.2.4"
    shared = services.engine.rules.shared["storefront"]
    wants = {key: wants for key, _, wants in shared.busiest(time.monotonic(), 9)}
    del wants[OTHERS]
    assert wants == {b"one@10.1.2.3": 40.0, b"one@10.1.2.4": 40.0}


@pytest.mark.parametrize(
    ("address", "lines"),
    [
        ("192.0.2.1", (CALLER,)),
        ("", (CALLER,)),
        ("10.1.2.3", ()),
        ("10.1.2.3", (CALLER, CALLER)),
        ("10.1.2.3", ("Planb-Caller: nonsense one",)),
        ("10.1.2.3", ("Planb_Caller: one",)),
    ],
)
async def test_nobody_else_is_one(services: Services, address: str, lines: tuple[str, ...]) -> None:
    known = services.engine.rules.shared["storefront"].keys
    assert noted(services, address, *lines).caller == b""
    assert services.engine.rules.shared["storefront"].keys == known


async def test_who_is_believed_on_a_listener_that_shares_nothing_is_nobody(
    services: Services,
) -> None:
    head = head_of(CALLER)
    request = as_request(head, b"@10.1.2.3")
    spec = listener(services, name="gone", callers=(ip_network("10.0.0.0/8"),))
    note_caller(services.engine, spec, request, head, "10.1.2.3", 0.0)
    assert request.caller == b""


def _decided(services: Services, request: Request, now: float) -> Verdict:
    return services.engine.decide("storefront", request, now, lambda: None)


async def test_callers_are_told_their_share_also_where_another_limit_refuses(
    services: Services,
) -> None:
    now = time.monotonic()
    known, unknown = noted(services, "10.1.2.3", CALLER), noted(services, "192.0.2.1")
    verdicts = [_decided(services, known, now) for _ in range(6)]
    lines = [share_lines(verdict) for verdict in verdicts]
    assert verdicts[-1].limit is not None
    assert verdicts[-1].limit.name == "listener/storefront/rate"
    assert all(b'RateLimit-Policy: "listener/storefront/shared";q=' in each for each in lines)
    assert b";r=0;" not in lines[-1]
    assert share_lines(_decided(services, unknown, now)) == b""


async def test_whom_its_share_refuses_is_told_that_nothing_is_left(services: Services) -> None:
    now = time.monotonic()
    known = noted(services, "10.1.2.3", CALLER)
    guard = services.engine.rules.unmatched["storefront"]
    while guard.shared is not None and guard.shared.check(known.caller, now) == 0.0:
        guard.shared.charge(known.caller, now)
    verdict = _decided(services, known, now)
    assert guard.shared is not None
    assert verdict.limit is guard.shared.spec
    assert b";r=0;t=1;" in share_lines(verdict)


def test_lines_are_added_at_the_end_of_a_head() -> None:
    head = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    assert with_lines(head, b"C: d\r\n") == b"HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n"
    assert with_lines(head, b"") is head


@pytest.mark.parametrize(("tells", "line"), [(True, b'Planb-Caller: "'), (False, b"")])
async def test_an_upstream_is_told_who_calls_where_the_rules_want_it(
    services: Services, tells: bool, line: bytes
) -> None:
    verdict = _decided(services, noted(services, "192.0.2.1"), 0.0)
    assert caller_line(verdict, 0.0) == b""
    spec = AdviceSpec("shop/advice", tell_demand=tells)
    verdict.guard.advice = AdviceGate(spec, lambda: 0.0)
    said = caller_line(verdict, 0.0)
    assert said.startswith(line)
    assert bool(said) == tells


def test_what_an_answer_says_is_obeyed() -> None:
    gate = AdviceGate(AdviceSpec("shop/advice"), lambda: 0.0)
    lines = b'RateLimit-Policy: "a";q=30;w=1;planb-share="x"\r\n'
    for data, rate in ((b"", None), (lines, 30.0), (b"", 30.0)):
        head = ResponseHeadReader(65536).feed(b"HTTP/1.1 200 OK\r\n" + data + b"\r\n")
        assert head is not None
        heed(gate, head.status, head.fields, 5.0)
        assert gate.rate(5.1) == rate
