"""Whom to refuse while there is too much load."""

from hashlib import blake2b
from math import inf
from struct import Struct
from typing import Final

from proxy.policy.guard import Guard
from proxy.policy.keys import BY_CLIENT_ADDRESS
from proxy.policy.priority import Priority
from proxy.policy.request import Request
from proxy.policy.shed_level import ShedLevel
from proxy.policy.signals import Signals, pressure
from proxy.policy.snapshot import SheddingSpec, Snapshot

STALE: Final = 3.0
"""Seconds after which a sample says nothing any more: whoever took it is dead or stuck, and nobody
is shed because of what he said last."""

TURN: Final = 300.0
"""Seconds for which a client keeps its place. DAGOR draws its users' priorities anew every hour
(SoCC 2018, section 4.2.2); a sale is over then."""

_DIGEST: Final = Struct(">16I")
"""A client's digest, the largest there is of BLAKE2b, in numbers: each is its place for a turn but
the last, which says when its turns begin."""

_PLACES: Final = 15
"""How many of them are places: so after 75 minutes a client has the first again."""

_RANGE: Final = 2.0**32
"""How many values each of them can have."""

PROBE_SHARE: Final = 0.01
"""The share of what is shed that is let in all the same: to see whether the pressure is gone, also
where only an answer tells (a latency, an upstream's own report)."""

MOST_PROBES: Final = 3
"""Probes for each sample, some ten a second: a flood must not get in as its own one per cent."""


class Shedder:
    """Decides who is shed, by the last sample.

    Requests have a place between 0 and 4: their priority, and within it where a hash puts their
    client. Those below the level of their upstream are shed: low ones first, of a priority always
    the same clients, until they get another place. Each does so at moments of its own: were it the
    same one for all, every visit under way would be torn at once. The moments are those of the wall
    clock, and the hash has no key, so that all sidecars of a shop shed the same clients. The
    compound admission level of DAGOR (SoCC 2018, section 4.2) with a real number for its pair.

    Only inbound listeners shed: what the shop calls is part of a request that was let in, and to
    refuse it would waste what that has cost (Google SRE book, chapter 22: reject early).

    `active`: there is anybody to be shed. Else `sheds` need not be asked. `shed` counts by
    priority, `probes` those who were let in to see.
    """

    __slots__ = (
        "_by_listener",
        "_credit",
        "_per",
        "_probes_left",
        "_until",
        "_wall",
        "active",
        "levels",
        "probes",
        "shed",
        "signals",
        "spec",
    )

    def __init__(self) -> None:
        self.spec: SheddingSpec | None = None
        self.signals: Signals | None = None
        self.levels: dict[str, ShedLevel] = {}
        self.active = False
        self.shed = dict.fromkeys(Priority, 0)
        self.probes = 0
        self._by_listener: dict[str, ShedLevel] = {}
        self._per = BY_CLIENT_ADDRESS
        self._until = -inf
        self._wall = 0.0
        self._credit = 0.0
        self._probes_left = 0

    def configure(self, snapshot: Snapshot, now: float) -> None:
        """Goes by the rules in `snapshot` from now on. Where other thresholds shed fewer it does
        so at once; where they shed more the level rises as ever, since one sample proves nothing.
        """
        before, self.spec = self.spec, snapshot.shedding
        old = self.levels if self.spec is not None else {}
        inbound = [each for each in snapshot.listeners if not each.outbound]
        called = {
            name
            for each in snapshot.listeners
            if each.outbound
            for name in (each.upstream, *each.hosts.values())
        } - {each.upstream for each in inbound}
        self.levels = {
            name: old.get(name) or ShedLevel() for name in snapshot.upstreams if name not in called
        }
        self._by_listener = dict.fromkeys(
            (each.name for each in snapshot.listeners if each.outbound), ShedLevel()
        )
        for each in inbound:
            self._by_listener[each.name] = self.levels[each.upstream]
        if self.spec is not None:
            self._per = self.spec.per
        signals = self.signals
        if signals is not None and now < self._until and self._are_other_thresholds(before):
            for name, level in self.levels.items():
                wanted, blame = self._pressure(name, signals)
                if wanted < level.level:
                    level.jump(wanted, blame, now)
        self._set_active()

    def update(self, signals: Signals) -> None:
        """Takes a sample: newer than the last, not from the future."""
        if self.spec is None:
            return
        if signals.at >= self._until:
            self._open()
        self.signals = signals
        self._until = signals.at + STALE
        self._probes_left = MOST_PROBES
        self._wall = signals.wall if 0.0 <= signals.wall < 1e12 else 0.0
        for name, level in self.levels.items():
            wanted, blame = self._pressure(name, signals)
            level.follow(wanted, blame, signals.at)
        self._set_active()

    def sheds(self, guard: Guard, request: Request, now: float) -> bool:
        """Whether `request`, which `guard` holds for, is to be refused. Counts it then."""
        priority = guard.priority
        depth = self._by_listener[guard.listener].level - priority
        if depth <= 0.0:
            return False
        if depth < 1.0 and self.place(request) >= depth:
            return False
        if now >= self._until:
            self._open()
            return False
        # Who is more important needs less credit, and so is the probe when there is one.
        credit = min(4.0, self._credit + PROBE_SHARE)
        if self._probes_left > 0 and credit >= 4 - priority:
            self._credit = credit - 1.0
            self._probes_left -= 1
            self.probes += 1
            return False
        self._credit = credit
        self.shed[priority] += 1
        return True

    def place(self, request: Request) -> float:
        """Where the client of `request` stands within its priority: in [0, 1), evenly."""
        numbers: tuple[int, ...] = _DIGEST.unpack(blake2b(self._per.key(request)).digest())
        turn = int(self._wall / TURN + numbers[_PLACES] / _RANGE)
        return numbers[turn % _PLACES] / _RANGE

    def _are_other_thresholds(self, before: SheddingSpec | None) -> bool:
        """For what was sampled by the rules before: a signal that is new tells nothing yet, also
        not that there is no load any more.
        """
        spec = self.spec
        if before is None or spec is None or spec.signals == before.signals:
            return False
        return all(name in before.signals for name in spec.signals)

    def _pressure(self, upstream: str, signals: Signals) -> tuple[float, str]:
        """The highest of the pressures, and whose it is."""
        spec = self.spec
        most, blame = 0.0, ""
        if spec is not None:
            of_upstream = signals.of_upstreams.get(upstream, {})
            for name, threshold in spec.signals.items():
                value = signals.values.get(name, of_upstream.get(name, 0.0))
                wanted = pressure(value, threshold)
                if wanted > most:
                    most, blame = wanted, name
        return most, blame

    def _open(self) -> None:
        """Nobody is shed: nothing is known of the load any more."""
        for level in self.levels.values():
            level.open()
        self._credit = 0.0
        self.active = False

    def _set_active(self) -> None:
        self.active = any(level.level > 0.0 for level in self.levels.values())
