import pytest

from proxy.wire.rate_limit import rate_limit_fields, share_fields


def test_a_refused_client_learns_the_policy_and_when_it_would_be_admitted() -> None:
    fields = rate_limit_fields("place-order/rate:cookie:sid", quota=30, window=60, wait=2)

    assert fields == (
        b'RateLimit-Policy: "place-order/rate:cookie:sid";q=30;w=60\r\n'
        b'RateLimit: "place-order/rate:cookie:sid";r=0;t=2\r\n'
    )


@pytest.mark.parametrize(
    ("share", "policy", "left"),
    [
        (1000.0, b"q=1000;w=1", b"r=1000;t=1"),
        (65.49, b"q=654;w=10", b"r=654;t=10"),
        (0.25, b"q=250;w=1000", b"r=250;t=1000"),
        (1e-6, b"q=1;w=100000", b"r=1;t=100000"),
    ],
)
def test_a_caller_learns_its_share(share: float, policy: bytes, left: bytes) -> None:
    assert share_fields("listener/front/shared", b"one", share, 0.0) == (
        b'RateLimit-Policy: "listener/front/shared";%b;planb-share="one"\r\n'
        b'RateLimit: "listener/front/shared";%b;planb-share="one"\r\n' % (policy, left)
    )


def test_a_caller_that_was_refused_learns_when_the_next_one_would_not_be() -> None:
    assert b";r=0;t=3;" in share_fields("a", b"one", 65.0, 2.1)
