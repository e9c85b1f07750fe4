"""What an operator sees of shedding: each signal beside its thresholds, and whom it has shed."""

from collections.abc import Iterator
from dataclasses import dataclass

from proxy.ops.signals import is_of_upstreams
from proxy.policy.priority import Priority
from proxy.policy.shedder import Shedder
from proxy.policy.signals import pressure
from proxy.policy.snapshot import Threshold
from proxy.rules.thresholds import as_written


@dataclass(frozen=True, slots=True)
class SignalRow:
    """A signal now; `upstream` is empty for those of the process. `value` is None while nothing is
    known of it, `pressure` how many priorities it wants shed.
    """

    name: str
    upstream: str
    value: float | None
    threshold: Threshold
    pressure: float

    @property
    def shown(self) -> str:
        """The value, as the rules would write it."""
        return "" if self.value is None else as_written(self.name, float(f"{self.value:.3g}"))


def signal_rows(shedder: Shedder) -> Iterator[SignalRow]:
    """Each signal that the rules name, in their order; an upstream's for each upstream."""
    spec, signals = shedder.spec, shedder.signals
    if spec is None:
        return
    for name, threshold in spec.signals.items():
        for upstream in shedder.levels if is_of_upstreams(name) else ("",):
            values = {} if signals is None else signals.of_upstreams.get(upstream, signals.values)
            value = values.get(name)
            wanted = 0.0 if value is None else pressure(value, threshold)
            yield SignalRow(name, upstream, value, threshold, wanted)


def shed_priorities(level: float) -> str:
    """Who is shed at `level`, to the per cent: `low and 25% of normal`; empty for nobody."""
    names: list[str] = []
    for priority in Priority:
        percent = min(100, round(100 * (level - priority)))
        if percent > 0:
            name = priority.name.lower()
            names.append(name if percent == 100 else f"{percent}% of {name}")
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""


def blamed(shedder: Shedder, upstream: str) -> str:
    """Which signal has the clients of `upstream` shed, with its value now: `cpu 88%`. That wants
    far less by now, or nothing, while the level still falls: `letting go, cpu 12%`.
    """
    level = shedder.levels[upstream]
    words = level.blame
    for row in signal_rows(shedder):
        if row.name == level.blame and row.upstream in {"", upstream}:
            words = f"{row.name} {row.shown}".rstrip()
    return f"letting go, {words}" if words and level.wanted < level.level / 2 else words
