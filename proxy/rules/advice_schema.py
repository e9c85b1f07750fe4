"""Server-advised throttling: the keys of both sides."""

from typing import Annotated

from pydantic import Field

from proxy.rules.section import Section
from proxy.rules.section import key as _key
from proxy.rules.values import PLAIN, Network, PositiveDuration, Rate, Truth


class Advise(Section):
    """A rate for the whole listener, which calling sidecars share fairly and are told their share
    of.
    """

    rate: Rate = _key("How many requests of all are admitted in a second, minute or hour.")
    burst: Annotated[int, Field(ge=1, le=10**9), PLAIN] | None = _key(
        "How many may come at once. Without it: a tenth of a second's worth, at least 20, since "
        "callers who each keep to their share still come at the same moment now and then.",
        None,
    )
    callers: list[Network] = _key(
        "The addresses and networks of sidecars that are told their share, if they have "
        "obey_advice and so say who they are. All other clients together count as one caller.",
        min_length=1,
    )


class ObeyAdvice(Section):
    """Calls no faster than the upstream says in RateLimit-Policy, RateLimit and Retry-After, and
    refuses the rest at once. {} is enough.
    """

    max_age: PositiveDuration = _key(
        "How long what it said holds if it says nothing new. A pause ends after a minute at most.",
        "10s",
    )
    tell_demand: Truth = _key(
        "Whether it is told who calls, and how much would be sent (Planb-Caller): a Plan B on its "
        "side gives shares by that. false for services of strangers.",
        True,
    )
