from proxy.wire.rate_limit import rate_limit_fields


def test_a_refused_client_learns_the_policy_and_when_it_would_be_admitted() -> None:
    fields = rate_limit_fields("place-order/rate:cookie:sid", quota=30, window=60, wait=2)

    assert fields == (
        b'RateLimit-Policy: "place-order/rate:cookie:sid";q=30;w=60\r\n'
        b'RateLimit: "place-order/rate:cookie:sid";r=0;t=2\r\n'
    )
