"""The keys of what holds back requests by what became of those before them."""

from typing import Annotated

from pydantic import Field

from proxy.rules.section import Section
from proxy.rules.section import key as _key
from proxy.rules.values import (
    PLAIN,
    Duration,
    FailureStatuses,
    PositiveDuration,
    PositiveRatio,
    Truth,
    Whole,
)


class Failures(Section):
    """What counts as a failure, besides connections that fail."""

    statuses: list[FailureStatuses] = _key(
        "The statuses of answers that are failures: 500, or a range, 502-504; of 408, 429 and 500 "
        "to 599. What the request itself is at fault for, such as a 404, never is. 429 and 503 are "
        "refusals where they do not stand here: a throttle counts them, a breaker does not.",
        [500, 502, 504, "506-599"],
    )
    timeouts: Truth = _key("Whether it is one when no answer comes in time.", True)


class Breaker(Section):
    """Stops asking while too much fails or is slow. {} is enough."""

    window: PositiveDuration = _key("How far back it looks.", "10s")
    min_requests: Whole = _key(
        "How many requests must have ended in that time for the ratios to tell anything.",
        20,
        ge=1,
        le=10**6,
    )
    error_ratio: PositiveRatio = _key("It opens when such a share of them failed.", "50%")
    slow: PositiveDuration | None = _key(
        "An answer is slow whose head takes so long; without it none is.", None
    )
    slow_ratio: PositiveRatio = _key("It opens when such a share of them was slow.", "60%")
    consecutive_failures: Whole = _key(
        "It opens when so many failed in a row, however many there were.", 20, ge=1, le=10**6
    )
    consecutive_slow: Whole | None = _key(
        "It opens when so many were slow in a row; without it only the ratio counts, as a pause of "
        "the upstream's, such as its garbage collector's, makes all slow that are under way.",
        None,
        ge=1,
        le=10**6,
    )
    open: PositiveDuration = _key(
        "For how long it stays open at first, and up to a quarter longer; for twice as long each "
        "time that this was in vain.",
        "5s",
    )
    longest_open: PositiveDuration = _key("For how long at most.", "1m")
    probes: Whole = _key(
        "How many requests at a time find out whether all is well after that. So many must have "
        "ended, with fewer failures than the ratios say.",
        5,
        ge=1,
        le=1000,
    )
    recovery: Duration = _key(
        "How long it takes after that until all requests are let through again: a tenth at first, "
        "then evenly more.",
        "10s",
    )


class Throttle(Section):
    """Sends no more than a multiple of what is accepted. {} is enough."""

    ratio: Annotated[float, Field(ge=1, le=1000), PLAIN] = _key(
        "How many times as many requests as are accepted are sent. Less wastes less, more notices "
        "sooner that more is accepted.",
        2,
    )
    window: PositiveDuration = _key(
        "How far back it looks. When all was refused it takes one to four times as long to let all "
        "through again.",
        "30s",
    )
    min_requests: Whole = _key(
        "How many requests there must have been in that time for it to refuse any.",
        20,
        ge=1,
        le=10**6,
    )


class Gated(Section):
    """What may hold back requests to an upstream, or those of a route."""

    breaker: Breaker | None = _key(
        "A circuit breaker: requests are refused at once while too many fail, or are slow.", None
    )
    throttle: Throttle | None = _key(
        "Requests are refused at once, by chance, as far as the upstream would refuse them.", None
    )
    failures: Failures | None = _key(
        "What breaker and throttle count as a failure. Of a route, for its requests; else the "
        "upstream's holds.",
        None,
    )
