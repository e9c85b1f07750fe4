"""What is written to the log."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogSpec:
    """`format` is `console` or `json`; the ratios say how many access lines are written."""

    format: str = "console"
    level: str = "info"
    access: bool = True
    sample_admitted_ratio: float = 1.0
    sample_refused_ratio: float = 0.01
