"""What came of a surge, in plain words, and as data for scripts."""

import math
from dataclasses import asdict
from typing import Any

from proxy.surge.connection import Outcome
from proxy.surge.plan import Plan
from proxy.surge.result import REFUSED, SERVED, Result, quantile
from proxy.surge.words import duration, per_second, percent, times

TOO_LATE = 0.05
"""Seconds of lateness of the generator beyond which its numbers are not to be trusted."""
VISIT_TIMEOUT = 5.0
"""Seconds for which the visitor who comes after the surge waits."""

Visit = tuple[Outcome, float]
"""What a visitor got, and after how many seconds."""


def summary(plan: Plan, result: Result, visit: Visit | None) -> str:
    """The surge in words; `visit` is what a visitor after it got, if there was one."""
    whole = result.whole()
    begun = whole.rate(result.sent - result.retried)
    good = whole.rate(whole.good)
    opening = f"You sent {per_second(begun)} to {plan.name}"
    share = ""
    if plan.capacity:
        ratio = times(begun / plan.capacity)
        opening = f"{plan.name} can serve {per_second(plan.capacity)}. "
        opening += f"You sent {per_second(begun)}, {ratio} times that"
        share = f", {percent(good / plan.capacity)} of that"
    lines = [f"{opening}, for {whole.seconds:.0f} s."]
    if result.retried:
        again = per_second(whole.rate(result.retried))
        lines.append(f"{again} more came from those who tried again.")
    served = _quantiles(whole.served_p50, whole.served_p99)
    refused = _quantiles(whole.refused_p50, whole.refused_p99)
    lines.append(f"  {per_second(good):>9} were served within 250 ms{share}{served}")
    for count, text in (
        (whole.late, "were served later than that"),
        (whole.refused, f"were refused{refused}"),
        (whole.wrong, f"met errors ({_kinds(result)})"),
        (whole.left, f"left after {duration(plan.patience)} without an answer"),
    ):
        if count:
            lines.append(f"  {per_second(whole.rate(count)):>9} {text}")
    if visit:
        lines.append(_after(visit))
    if warning := _warning(result):
        lines.append(warning)
    return "\n".join(lines)


def as_data(plan: Plan, result: Result, visit: Visit | None) -> dict[str, Any]:
    """The same for JSON: counts, times in seconds, None for what there was none of."""
    late = sorted(result.lateness)
    data = {
        "plan": asdict(plan),
        "result": {
            **asdict(result.whole()),
            "begun": result.sent - result.retried,
            "retried": result.retried,
            "statuses": {str(status): count for status, count in sorted(result.statuses.items())},
            "failures": dict(sorted(result.failures.items())),
        },
        "visit": visit and {"outcome": visit[0], "seconds": visit[1]},
        "lateness": {"p50": quantile(late, 0.5), "p99": quantile(late, 0.99)},
    }
    known: dict[str, Any] = _without_nan(data)
    return known


def _quantiles(p50: float, p99: float) -> str:
    return "" if math.isnan(p50) else f": half in {duration(p50)}, 99 % in {duration(p99)}"


def _kinds(result: Result) -> str:
    """`502: 40, closed: 3`."""
    wrong: dict[Outcome, int] = {
        status: count
        for status, count in sorted(result.statuses.items())
        if status not in SERVED and status not in REFUSED
    }
    wrong |= {kind: count for kind, count in sorted(result.failures.items()) if kind != "timeout"}
    return ", ".join(f"{outcome}: {count:,}" for outcome, count in wrong.items())


def _after(visit: Visit) -> str:
    outcome, seconds = visit
    if outcome in SERVED:
        return f"A visitor who came after it was served in {duration(seconds)}."
    if outcome in REFUSED:
        return f"A visitor who came after it was refused in {duration(seconds)}."
    if outcome == "timeout":
        return (
            f"A visitor who came after it waited {duration(VISIT_TIMEOUT)} in vain: the server is "
            "still at work for those who left, and may be for minutes."
        )
    return f"A visitor who came after it met an error ({outcome})."


def _warning(result: Result) -> str:
    late = quantile(sorted(result.lateness), 0.99)
    notes = []
    if late > TOO_LATE:
        notes.append(f"was up to {duration(late)} late with what it had to send")
    if unsent := result.failures["not sent"]:
        notes.append(f"had no connection free for {unsent:,} requests")
    if not notes:
        return ""
    return f"Beware: this program itself {' and '.join(notes)}. Take a lower --rate."


def _without_nan(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _without_nan(value) for key, value in data.items()}
    return None if isinstance(data, float) and math.isnan(data) else data
