import pytest

from proxy.wire.attempt import attempt_line, is_repeatable, is_sent_again_elsewhere, retry_after
from proxy.wire.request_head import RequestHead, RequestHeadReader
from proxy.wire.response_head import ResponseHead, ResponseHeadReader


def request(method: str, *lines: str) -> RequestHead:
    text = "\r\n".join([f"{method} / HTTP/1.1", "Host: shop.test", *lines, "", ""])
    head = RequestHeadReader(1000).feed(text.encode())
    assert head is not None
    return head


def response(*lines: str) -> ResponseHead:
    text = "\r\n".join(["HTTP/1.1 503 Busy", "Content-Length: 0", *lines, "", ""])
    head = ResponseHeadReader(1000).feed(text.encode())
    assert head is not None
    return head


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_an_idempotent_method_may_be_repeated(method: str) -> None:
    assert is_repeatable(request(method))


@pytest.mark.parametrize("method", ["POST", "PATCH", "LOCK", "get"])
def test_others_may_not_unless_the_upstream_tells_repeats_by_a_key(method: str) -> None:
    assert not is_repeatable(request(method, "X-Idempotency-Key: 1"))
    assert is_repeatable(request(method, 'idempotency-key: "8e03978e"'))


@pytest.mark.parametrize(
    "lines",
    [
        ("Idempotency-Key:",),
        ('Idempotency-Key: ""',),
        ("Idempotency-Key: 1", "Connection: idempotency-Key"),
    ],
)
def test_a_key_that_tells_the_upstream_nothing_is_none(lines: tuple[str, ...]) -> None:
    assert not is_repeatable(request("POST", *lines))


def test_what_is_to_become_another_protocol_is_not_repeated() -> None:
    assert not is_repeatable(request("GET", "Upgrade: websocket", "Connection: Upgrade"))


def test_who_is_sent_again_elsewhere_says_so_in_whatever_words() -> None:
    assert not is_sent_again_elsewhere(request("GET"))
    for line in (
        attempt_line(2).decode(),
        "PLANB-ATTEMPT: 1",
        "planb-attempt:",
        "Planb-Attempt: x",
    ):
        assert is_sent_again_elsewhere(request("GET", line))


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ((), None),
        (("Retry-After: 1",), 1.0),
        (("retry-after: 0",), 0.0),
        (("Retry-After: 1", "Retry-After: 5"), 5.0),
    ],
)
def test_a_refusal_says_when_to_come_again(lines: tuple[str, ...], seconds: float | None) -> None:
    assert retry_after(response(*lines)) == seconds


@pytest.mark.parametrize(
    "value", ["Fri, 31 Dec 1999 23:59:59 GMT", "-1", "1.5", "soon", "", "9" * 500]
)
def test_a_date_or_nonsense_is_far_away(value: str) -> None:
    seconds = retry_after(response(f"Retry-After: {value}"))
    assert seconds is not None
    assert seconds > 1e6
