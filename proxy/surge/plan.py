"""What is to be sent."""

from dataclasses import dataclass

MOST_PER_SECOND = 20_000
"""What the generator sends with a share of a core left, on the machine of README's "Numbers"."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`rate` requests a second to `name` for `seconds`, by impatient visitors."""

    name: str
    rate: float
    seconds: float
    patience: float
    """Seconds until a visitor without an answer leaves."""
    retries: int
    """How often who got no answer tries again, at once."""
    capacity: float | None = None
    """Requests that the server was found to serve a second; None when that was not measured."""
