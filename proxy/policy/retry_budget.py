"""How many requests may be sent again, of those that were sent at all."""

from typing import Final

SAVED: Final = 10.0
"""Tokens that are saved up at most, unless a second brings more: a few connections that break
together. gRPC's example of retry throttling has as many (proposal A6, maxTokens), and it is the
least that Finagle's RetryBudget allows in a second.
"""


class RetryBudget:
    """A token for each retry: `ratio` of one comes with every request, `per_second` with time.

    Retries help while failures are rare. When an upstream fails for all, they only multiply what
    it fails under: three tries on each of three levels are 27 times the load (Site Reliability
    Engineering, chapters 21 and 22). So they are a share of the requests, as with Finagle's and
    Linkerd's RetryBudget and Envoy's retry_budget.

    Theirs count over ten seconds, and what calm seconds have saved up is spent in the first ones
    of an outage: for two seconds its load is doubled. Here a few are saved, however many requests
    there were (`reserve`). So of whatever length a window of time is, and wherever it begins, its
    retries are at most

        ratio x requests + per_second x seconds + reserve.

    `now` is in monotonic seconds.
    """

    __slots__ = ("_at", "_tokens", "per_second", "ratio", "reserve")

    def __init__(self, ratio: float, per_second: float) -> None:
        self.ratio = ratio
        self.per_second = per_second
        self.reserve = max(SAVED, per_second)
        self._tokens = self.reserve
        self._at = 0.0

    def left(self, now: float) -> float:
        """How many requests could be sent again at once."""
        passed = max(0.0, now - self._at)
        return min(self.reserve, self._tokens + passed * self.per_second)

    def earn(self, now: float) -> None:
        """A request is sent, for the first time."""
        self._tokens = min(self.reserve, self.left(now) + self.ratio)
        self._at = max(self._at, now)

    def spend(self, now: float) -> bool:
        """Takes a token; False when none is left."""
        left = self.left(now)
        if left < 1.0:
            return False
        self._tokens = left - 1.0
        self._at = max(self._at, now)
        return True

    def reconfigure(self, ratio: float, per_second: float, now: float) -> None:
        """Goes on with other numbers: what is left stays, as far as it may be saved."""
        left = self.left(now)
        self.ratio, self.per_second = ratio, per_second
        self.reserve = max(SAVED, per_second)
        self._tokens = min(left, self.reserve)
        self._at = max(self._at, now)
