"""Numbers with units, as the rules write them.

Every function takes what YAML holds and raises `ValueError` with a sentence for its author.
"""

# ruff: noqa: TRY004 - the schema library reports a ValueError, and lets a TypeError through

import re
from dataclasses import dataclass
from fractions import Fraction

from proxy.rules.problems import shown

DURATION_PATTERN = r"^(\d{1,9}(\.\d{1,3})?(ms|s|m|h))+$"
RATE_PATTERN = r"^\d{1,9}(\.\d{1,3})?/(s|m|h)$"
SIZE_PATTERN = r"^\d{1,12}(B|kB|KB|MB|GB|KiB|MiB|GiB)$"
SPEED_PATTERN = r"^\d{1,12}(B|kB|KB|MB|GB|KiB|MiB|GiB)/s$"
PERCENT_PATTERN = r"^\d{1,3}(\.\d{1,6})?%$"
RANGE_PATTERN = r"^(\d{1,9}(\.\d{1,3})?(ms|s|m|h))+(\.\.(\d{1,9}(\.\d{1,3})?(ms|s|m|h))+)?$"

LONGEST_DURATION = 366 * 86400.0

_SECONDS = {"h": Fraction(3600), "m": Fraction(60), "s": Fraction(1), "ms": Fraction(1, 1000)}
_BYTES = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_DURATION = re.compile(
    r"(?:(\d{1,9}(?:\.\d{1,3})?)h)?(?:(\d{1,9}(?:\.\d{1,3})?)m)?"
    r"(?:(\d{1,9}(?:\.\d{1,3})?)s)?(?:(\d{1,9}(?:\.\d{1,3})?)ms)?",
    re.ASCII,
)
_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)/([smh])", re.ASCII)
_SIZE = re.compile(r"(\d{1,12})(B|kB|KB|MB|GB|KiB|MiB|GiB)", re.ASCII)
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)%", re.ASCII)
_NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """`quota` in `window` seconds, both whole: 2.5/s is 5 in 2."""

    quota: int
    window: int

    @property
    def per_second(self) -> float:
        """Requests per second."""
        return self.quota / self.window


def duration(value: object) -> float:
    """Seconds: `500ms`, `2s`, `1m30s`, `1h`."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if match is None:
        raise ValueError(_wrong("a duration", value, ("s", "ms"), "500ms, 2s, 1m30s or 1h"))
    counts = zip(_SECONDS.values(), match.groups(), strict=True)
    seconds = float(sum(unit * Fraction(count) for unit, count in counts if count))
    if seconds > LONGEST_DURATION:
        raise ValueError(f"{shown(value)} is longer than a year")
    return seconds


def positive_duration(value: object) -> float:
    """Seconds, more than none."""
    seconds = duration(value)
    if not seconds:
        raise ValueError("must be longer than 0s")
    return seconds


def duration_range(value: object) -> tuple[float, float]:
    """Shortest and longest: `2s..6s`; `5s` is both."""
    if not isinstance(value, str):
        raise ValueError(_wrong("a range", value, ("s", "s..6s"), "2s..6s"))
    low, dots, high = value.partition("..")
    ends = duration(low), duration(high if dots else low)
    if ends[0] > ends[1]:
        raise ValueError(f"{shown(value)} starts above its end")
    return ends


def rate(value: object) -> Rate:
    """Requests per second, minute or hour: `800/s`, `2.5/s`, `30/m`, `1000/h`."""
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(_wrong("a rate", value, ("/s", "/m"), "800/s, 2.5/s, 30/m or 1000/h"))
    count = Fraction(match[1])
    if not count:
        raise ValueError("must be above 0")
    return Rate(count.numerator, count.denominator * int(_SECONDS[match[2]]))


def size(value: object) -> int:
    """Bytes: `512B`, `64KiB`, `10MB`."""
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(_wrong("a size", value, ("KiB", "MiB"), "512B, 64KiB or 10MB"))
    return int(match[1]) * _BYTES[match[2]]


def speed(value: object) -> int:
    """Bytes per second: `500B/s`."""
    match = _SIZE.fullmatch(value.removesuffix("/s")) if isinstance(value, str) else None
    if match is None or not str(value).endswith("/s"):
        raise ValueError(_wrong("bytes per second", value, ("B/s", "KiB/s"), "500B/s or 64KiB/s"))
    return int(match[1]) * _BYTES[match[2]]


def ratio(value: object) -> float:
    """A share of one: `1%` is 0.01."""
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(
            _part_of_one(value) or _wrong("a percentage", value, ("%",), "1% or 12.5%")
        )
    percent = float(match[1])
    if percent > 100:
        raise ValueError("must be at most 100%")
    return percent / 100


def positive_ratio(value: object) -> float:
    """A share of one, more than nothing."""
    share = ratio(value)
    if not share:
        raise ValueError("must be above 0%")
    return share


def _part_of_one(value: object) -> str:
    """The message for 0.5, which is half to most other programs, and to us 0.5 of 100."""
    number = "" if isinstance(value, bool | None) else str(value)
    if not _NUMBER.fullmatch(number) or len(number) > 20 or not 0 < Fraction(number) <= 1:
        return ""
    percent = f"{float(100 * Fraction(number)):g}%"
    return f"a percentage needs a unit: did you mean {percent} or {number}%?"


def _wrong(what: str, value: object, units: tuple[str, ...], examples: str) -> str:
    """The message for a value of the wrong form; a plain number gets its unit suggested."""
    number = "" if isinstance(value, bool | None) else str(value)
    if _NUMBER.fullmatch(number) and len(number) <= 20:
        return f"{what} needs a unit: did you mean {' or '.join(number + unit for unit in units)}?"
    if value is None:
        return f"has no value; write {what} such as {examples}"
    return f"{shown(value)} is not {what} such as {examples}"
