"""Who wants something from the shop: open-loop arrivals, impatient and stubborn."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.simulation.account import Account
from tests.simulation.events import Events
from tests.simulation.shop import Answer
from tests.simulation.sidecar import Exchange, Sidecar


@dataclass(frozen=True)
class Kind:
    """A kind of request: its `path`, which decides the route, and the `share` of all that it has.

    `work` gives the answer that the shop has for one. All of them come from `client`, an address,
    if there is one; else each visitor has its own.
    """

    path: str = "/"
    share: float = 1.0
    work: Callable[[random.Random], Answer] = lambda _: Answer(0.02)
    client: str = ""


@dataclass(frozen=True)
class Manners:
    """How long a visitor waits for an answer, and what it does when it gets none, or a refusal:
    up to `retries` more attempts, some `pause` seconds after each.
    """

    patience: float = 1.0
    retries: int = 0
    pause: float = 0.1


class Visitors:
    """They come by themselves, `rate` a second, whatever the shop does: evenly, or at random
    (Poisson). Each asks one of `sidecars`, at random, for one of `kinds`.
    """

    def __init__(
        self,
        events: Events,
        sidecars: Sequence[Sidecar],
        kinds: Sequence[Kind],
        manners: Manners,
        account: Account,
        *,
        poisson: bool = True,
        seed: int = 1,
    ) -> None:
        self._events = events
        self._sidecars = sidecars
        self._kinds = kinds
        self._shares = [kind.share for kind in kinds]
        self._manners = manners
        self._account = account
        self._poisson = poisson
        self._random = random.Random(seed)
        self._rate = 0.0
        self._epoch = 0
        self._count = 0

    def come(self, rate: float) -> None:
        """From now on so many a second."""
        self._rate = rate
        self._epoch += 1
        self._next(self._epoch)

    def _next(self, epoch: int) -> None:
        if not self._rate:
            return
        gap = self._random.expovariate(self._rate) if self._poisson else 1.0 / self._rate

        def arrive() -> None:
            if epoch == self._epoch:
                self._arrive()
                self._next(epoch)

        self._events.after(gap, arrive)

    def _arrive(self) -> None:
        draw = self._random
        kind = (
            draw.choices(self._kinds, self._shares)[0] if len(self._kinds) > 1 else self._kinds[0]
        )
        sidecar = draw.choice(self._sidecars)
        self._count += 1
        Visit(self._events, sidecar, kind, self._manners, self._account, draw, self._count)


class Visit:
    """One visitor's wish, with all its attempts."""

    def __init__(
        self,
        events: Events,
        sidecar: Sidecar,
        kind: Kind,
        manners: Manners,
        account: Account,
        draw: random.Random,
        number: int,
    ) -> None:
        self._events = events
        self._sidecar = sidecar
        self._kind = kind
        self._manners = manners
        self._account = account
        self._draw = draw
        self._client = kind.client or f"192.0.{number >> 8 & 255}.{number & 255}"
        self._began_at = events.now
        self._left = manners.retries
        self._attempt = 0
        self._asked_at = 0.0
        account.wanted(self._kind.path, events.now)
        self._ask()

    def _ask(self) -> None:
        self._attempt += 1
        attempt = self._attempt
        self._asked_at = self._events.now
        self._over = False
        self._exchange = Exchange(
            self._sidecar, self._kind.path, self._client, self._kind.work(self._draw), self._told
        )
        if not self._over:

            def leave() -> None:
                if attempt == self._attempt and not self._over:
                    self._exchange.leave()
                    self._account.left(self._kind.path, self._events.now)
                    self._again()

            self._events.after(self._manners.patience, leave)

    def _told(self, status: int, refused: bool) -> None:
        self._over = True
        now = self._events.now
        if refused:
            self._account.refused(self._kind.path, now - self._asked_at, now)
            self._again()
        else:
            self._account.answered(
                self._kind.path, status, now - self._asked_at, self._began_at, now
            )

    def _again(self) -> None:
        if self._left:
            self._left -= 1
            pause = self._manners.pause * (0.5 + self._draw.random())
            self._events.after(pause, self._ask)
