"""What wrk asks for in each case, and what must come back."""

from dataclasses import dataclass
from typing import Literal

from tests.bench.rule_set import FREE, REFUSED, REFUSED_PAGE


@dataclass(frozen=True)
class Case:
    """One kind of request, asked for as fast as it is answered.

    `targets` are asked for in turn. `admitted_ratio` says what share of them must be answered
    from the upstream; the others must be refused.
    """

    name: str
    targets: tuple[str, ...]
    head: Literal["plain", "browser"] = "browser"
    body_bytes: int | None = None
    admitted_ratio: float = 1.0


FORWARD = Case("forward 100 B, browser head", (f"{FREE}/100",))
REFUSE = Case("refuse by rate, browser head", (f"{REFUSED}/100",), admitted_ratio=0.0)
CASES = (
    Case("forward 100 B, plain head", (f"{FREE}/100",), head="plain"),
    FORWARD,
    Case("forward 10 KiB", (f"{FREE}/10240",)),
    Case("forward 1 MiB", (f"{FREE}/1048576",)),
    Case("POST 2 KiB", (f"{FREE}/100",), body_bytes=2048),
    Case("refuse by rate, plain head", (f"{REFUSED}/100",), head="plain", admitted_ratio=0.0),
    REFUSE,
    Case("refuse with a page of 6 KB", (f"{REFUSED_PAGE}/100",), admitted_ratio=0.0),
    Case("20 % admitted", (f"{FREE}/100", *[f"{REFUSED}/100"] * 4), admitted_ratio=0.2),
)
