"""The part of the document that says how long clients and upstreams are waited for."""

from proxy.rules.section import Section
from proxy.rules.section import key as _key
from proxy.rules.values import PositiveDuration


class ListenerTimeouts(Section):
    """How long clients are waited for."""

    head: PositiveDuration = _key("From a request head's first byte to its last.", "10s")
    body: PositiveDuration = _key(
        "For a request body in all, before its bytes earn it more time (min_body_rate).", "20s"
    )
    idle: PositiveDuration = _key("Between two requests on a connection.", "75s")
    send: PositiveDuration = _key("Without the client taking a byte of the response.", "60s")


class UpstreamTimeouts(Section):
    """How long an upstream is waited for."""

    connect: PositiveDuration = _key("Until the connection stands.", "1s")
    response: PositiveDuration = _key("From the request's last byte to the response's head.", "60s")
    body: PositiveDuration = _key("The longest silence inside a response.", "60s")
    idle: PositiveDuration = _key("How long an unused connection is kept for reuse.", "15s")
    tunnel: PositiveDuration = _key(
        "The longest silence of an upgraded connection, such as a WebSocket.", "1h"
    )
