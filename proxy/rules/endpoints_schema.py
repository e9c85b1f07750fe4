"""The part of the document that says between which endpoints requests are balanced."""

from ipaddress import ip_address
from typing import Annotated

from pydantic import PlainValidator, WithJsonSchema

from proxy.policy.endpoint_spec import MOST_ENDPOINTS
from proxy.rules import addresses
from proxy.rules.problems import shown
from proxy.rules.section import Section
from proxy.rules.section import key as _key
from proxy.rules.values import PositiveDuration, PositiveRatio, Ratio, Url, Whole


def _nameserver(value: object) -> tuple[str, int]:
    """An IP address and a port: `10.0.0.2:53`, `[::1]:5353`."""
    address = addresses.bind(value)
    try:
        ip_address(address.host)
    except ValueError:
        raise ValueError(f"{shown(value)} is a name: write the nameserver's IP address") from None
    if not address.port:
        raise ValueError("port 0 can't be asked")
    return address.host, address.port


Nameserver = Annotated[
    tuple[str, int],
    PlainValidator(_nameserver),
    WithJsonSchema({"type": "string", "examples": ["10.0.0.2:53", "[::1]:5353"]}),
]


class Resolve(Section):
    """Every address that the url's name has is an endpoint. {} is enough."""

    nameserver: Nameserver | None = _key(
        "The nameserver that alone is asked, by IP address and port. Without it the name means "
        "what it means to all programs of the machine: the hosts file counts, too.",
        None,
    )
    every: PositiveDuration = _key(
        "How often it is looked up where the DNS tells no TTL: for names that only the hosts file "
        "knows.",
        "30s",
    )


class Ejection(Section):
    """When an endpoint gets no requests for a while. It fails with what the upstream's `failures`
    name, and with a 503 that has no Retry-After.
    """

    consecutive_failures: Whole = _key("After so many failures in a row.", 5, ge=1, le=10**6)
    error_ratio: PositiveRatio = _key("Or once such a share of its requests has failed.", "50%")
    min_requests: Whole = _key(
        "So many requests must have been answered or failed in the window for a share of them to "
        "count.",
        20,
        ge=1,
        le=10**6,
    )
    window: PositiveDuration = _key("How long requests are counted before all starts anew.", "10s")
    time: PositiveDuration = _key(
        "For how long, the first time; twice that the second time in a row, three times the third, "
        "and so on. Then one request at a time finds out whether it is well.",
        "10s",
    )
    max_time: PositiveDuration = _key("The longest time.", "5m")
    max_ejected: Ratio = _key(
        "The share of the endpoints that may be out at once; the last one never is. 0% ejects "
        "none.",
        "50%",
    )


class Whereabouts(Section):
    """Where an upstream is: at one place, or at several."""

    url: Url | None = _key("Where it is: http://HOST:PORT, https://HOST:PORT or unix:/PATH.", None)
    endpoints: list[Url] = _key(
        "Instead of a url: several, between which requests are balanced.",
        [],
        max_length=MOST_ENDPOINTS,
    )
    resolve: Resolve | None = _key(
        "Balances between all addresses of the url's name, and looks it up again by its TTL.", None
    )
    ejection: Ejection | None = _key("When one of several gets no requests for a while.", None)
