"""What an upstream says of its own load, in a field of its responses.

ORCA, Open Request Cost Aggregation (github.com/envoyproxy/envoy/issues/6614; the messages are
xds/data/orca/v3/orca_load_report.proto). `endpoint-load-metrics` holds it as text or JSON:

    endpoint-load-metrics: TEXT cpu_utilization=0.7, named_metrics.threads=0.9
    endpoint-load-metrics: JSON {"cpu_utilization": 0.7, "named_metrics": {"threads": 0.9}}

Envoy and gRPC know a third form, a serialized message in base64 in `endpoint-load-metrics-bin`. It
is what gRPC servers send, in trailers of HTTP/2; who can set a field of an HTTP/1.1 response can
write it as text. So it is not read. Nor is `BIN` with the same message in base64, which Envoy
takes in `endpoint-load-metrics` as well.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from math import isfinite
from typing import Final

LONGEST_REPORT: Final = 4096
"""Bytes of a report that is read; of an honest one with twenty metrics there are 800."""

MOST_METRICS: Final = 64
LARGEST_VALUE: Final = 1e9

NAMED: Final = "named_metrics"
_UTILIZATIONS: Final = ("cpu_utilization", "mem_utilization", "application_utilization")

# As some of Envoy's versions write it there is a colon in place of the equals sign, and no TEXT.
_METRIC: Final = re.compile(r"([A-Za-z0-9_.-]{1,128})[ \t]*[=:][ \t]*([0-9.eE+-]{1,32})")
_NUMBER: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?")


def read_load_report(value: bytes) -> Mapping[str, float]:
    """The metrics in `value`: those of a name of ORCA's by it, others as `named_metrics.NAME`.

    Numbers from 0 to `LARGEST_VALUE` only. Whatever else is there, or can't be read, or is told
    twice, is left out.
    """
    if len(value) > LONGEST_REPORT:
        return {}
    text = value.decode("latin-1")
    if text.startswith("JSON "):
        return _from_json(text[5:])
    return _from_text(text.removeprefix("TEXT "))


def _from_text(text: str) -> Mapping[str, float]:
    found: dict[str, float] = {}
    twice: set[str] = set()
    for part in text.split(",")[:MOST_METRICS]:
        metric = _METRIC.fullmatch(part.strip(" \t"))
        if metric is None or not _NUMBER.fullmatch(metric[2]):
            continue
        name = metric[1]
        if name in found:
            twice.add(name)
        _take(found, name, float(metric[2]))
    return {name: value for name, value in found.items() if name not in twice}


def _from_json(text: str) -> Mapping[str, float]:
    try:
        report = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return {}
    found: dict[str, float] = {}
    if isinstance(report, dict):
        for name in _UTILIZATIONS:
            _take(found, name, report.get(name, report.get(_camel_case(name))))
        named = report.get(NAMED, report.get(_camel_case(NAMED)))
        if isinstance(named, dict):
            for name, value in list(named.items())[:MOST_METRICS]:
                _take(found, f"{NAMED}.{name}", value)
    return found


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object without the names that stand there twice."""
    times = Counter(name for name, _ in pairs)
    return {name: value for name, value in pairs if times[name] == 1}


def _take(found: dict[str, float], name: str, value: object) -> None:
    kind, _, own_name = name.partition(".")
    if name not in _UTILIZATIONS and not (kind == NAMED and own_name):
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if 0 <= value <= LARGEST_VALUE and isfinite(value):
        found[name] = float(value)


def _camel_case(name: str) -> str:
    """As protobuf's JSON has it: both are read (protobuf.dev/programming-guides/json)."""
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)
