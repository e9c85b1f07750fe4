"""Numbers as people read them."""

import math


def per_second(rate: float) -> str:
    """`1,600/s`; below 10 with a decimal, since 0.5/s is not 0/s."""
    return f"{rate:,.1f}/s" if 0 < rate < 9.95 else f"{rate:,.0f}/s"


def duration(seconds: float) -> str:
    """`0.6 ms`, `42 ms`, `1.2 s`; empty for NaN."""
    if math.isnan(seconds):
        return ""
    if seconds >= 0.9995:
        return f"{seconds:.1f} s"
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.00995 else f"{1000 * seconds:.1f} ms"


def times(ratio: float) -> str:
    """`10`, `0.33`, `1,000`."""
    return f"{ratio:,.0f}" if ratio >= 9.95 else f"{ratio:.2g}"


def percent(ratio: float) -> str:
    """`99 %`."""
    return f"{100 * ratio:.0f} %"
