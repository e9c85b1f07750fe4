"""What is sent again, and what is said of it, by what the request is and its rules."""

from dataclasses import replace

import pytest

from proxy.lanes.attempts import LARGEST_HELD_BYTES, Attempts, amended, attempts_of
from proxy.lanes.errors import UpstreamError
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import RetrySpec, Snapshot, UpstreamSpec
from proxy.policy.verdict import Verdict
from proxy.wire.request_head import RequestHead, RequestHeadReader
from proxy.wire.response_head import ResponseHead, ResponseHeadReader
from tests.policy.guarded import Guarded, snapshot

RESET = UpstreamError(Reason.UPSTREAM_ERROR, "reset")


def rules() -> Snapshot:
    plain = snapshot()
    (listener,) = plain.listeners
    return replace(
        plain,
        listeners=(replace(listener, deadline_header=b"grpc-timeout"),),
        upstreams={"shop": UpstreamSpec("shop", "::1", 2, retry=RetrySpec())},
    )


def verdict(now: float = 0.0, timeout: bytes | None = None) -> Verdict:
    fields = [] if timeout is None else [(b"Grpc-Timeout", timeout)]
    return Guarded(rules()).ask(now, fields=fields).verdict


def request(method: str, *lines: str) -> RequestHead:
    text = "\r\n".join([f"{method} / HTTP/1.1", "Host: shop.test", *lines, "", ""])
    head = RequestHeadReader(1000).feed(text.encode())
    assert head is not None
    return head


def response(status: int, *lines: str) -> ResponseHead:
    text = "\r\n".join([f"HTTP/1.1 {status} Busy", "Content-Length: 0", *lines, "", ""])
    head = ResponseHeadReader(1000).feed(text.encode())
    assert head is not None
    return head


def attempts(head: RequestHead) -> Attempts:
    made = attempts_of(verdict(), head)
    assert made is not None
    return made


def test_none_are_made_without_rules_for_it_or_for_who_is_sent_again_elsewhere() -> None:
    assert attempts_of(Guarded(snapshot()).ask(0.0).verdict, request("GET")) is None
    assert attempts_of(verdict(), request("GET", "Planb-Attempt: 1")) is None


@pytest.mark.parametrize(
    ("method", "lines", "repeatable", "holds_body"),
    [
        ("GET", [], True, False),
        ("PUT", [f"Content-Length: {LARGEST_HELD_BYTES}"], True, True),
        ("PUT", [f"Content-Length: {LARGEST_HELD_BYTES + 1}"], False, False),
        ("PUT", ["Transfer-Encoding: chunked"], False, False),
        ("PUT", ["Content-Length: 5", "Expect: 100-continue"], False, False),
        ("POST", ["Content-Length: 5"], False, False),
        ("POST", ["Content-Length: 5", "Idempotency-Key: 7"], True, True),
    ],
)
def test_a_request_is_repeatable_with_all_of_its_body_in_hand(
    method: str, lines: list[str], repeatable: bool, holds_body: bool
) -> None:
    these = attempts(request(method, *lines))
    assert these.holds_body == holds_body
    assert these.broke(RESET, sent=True, silence=0.0).repeatable == repeatable


def test_an_answer_is_a_failure_by_its_status() -> None:
    these = attempts(request("GET"))
    assert these.refused(response(200)) is None
    assert these.refused(response(500)) is None
    failure = these.refused(response(503, "Retry-After: 1"))
    assert failure is not None
    assert (failure.status, failure.retry_after, failure.sent) == (503, 1.0, True)


def test_each_attempt_says_which_it_is_and_what_is_left_of_its_time() -> None:
    head = request("GET", "GRPC-timeout: 500m")
    asked = verdict(10.0, b"500m")
    these = attempts_of(asked, head)
    name, lines = amended(asked, these, head, 10.1)
    assert (name, lines) == (b"grpc-timeout", b"Planb-Attempt: 1\r\nGRPC-timeout: 400m")
    assert amended(asked, None, head, 10.1) == (b"grpc-timeout", b"GRPC-timeout: 400m")


def test_whose_time_is_unknown_has_its_field_passed_on_as_it_is() -> None:
    head = request("GET", "Grpc-Timeout: soon")
    asked = verdict(10.0, b"soon")
    assert amended(asked, attempts_of(asked, head), head, 10.1) == (b"", b"Planb-Attempt: 1")
