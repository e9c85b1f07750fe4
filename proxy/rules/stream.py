"""A snapshot on its way from the process that compiled it: a header, then batches.

One pickler writes them all and one unpickler reads them, so that what many routes share is sent
once. Between batches the reader can do something else.
"""

import pickle
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from io import BytesIO
from math import ceil
from typing import IO, Any

from proxy.policy import answers
from proxy.policy import snapshot as rules
from proxy.policy.snapshot import LimitSpec, RouteSpec, Snapshot
from proxy.rules.problems import RulesError

BATCH = 50
"""Routes or limits: well under a millisecond of reading."""

_RULES, _ERROR = "rules", "error"


def _by_fields(value: Any) -> tuple[type, tuple[Any, ...]]:
    """For `pickle`, which sees no attributes of a compiled class."""
    return type(value), tuple([getattr(value, each.name) for each in fields(value)])


_REDUCERS = {
    kind: _by_fields
    for module in (answers, rules)
    for kind in vars(module).values()
    if is_dataclass(kind) and isinstance(kind, type) and kind.__module__ == module.__name__
}


def write_snapshot(snapshot: Snapshot, out: IO[bytes]) -> None:
    """Write `snapshot` for `read_snapshot`."""
    pickler = pickle.Pickler(out, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = _REDUCERS
    header = replace(snapshot, routes=(), limits={})
    parts: list[LimitSpec | RouteSpec] = [*snapshot.limits.values(), *snapshot.routes]
    pickler.dump((_RULES, header, ceil(len(parts) / BATCH)))
    for start in range(0, len(parts), BATCH):
        pickler.dump(parts[start : start + BATCH])


def write_error(error: RulesError, out: IO[bytes]) -> None:
    """Write `error` for `read_snapshot`."""
    pickle.dump((_ERROR, (error.problems, error.files), 0), out, pickle.HIGHEST_PROTOCOL)


def read_snapshot(content: bytes) -> Iterator[Snapshot | None]:
    """Yield None after each batch, and the snapshot at last.

    Raises `RulesError` if one was written. Only for what a process of ours has written: a pickle
    can do anything.
    """
    unpickler = pickle.Unpickler(BytesIO(content))  # noqa: S301
    tag, header, count = unpickler.load()
    if tag == _ERROR:
        raise RulesError(*header)
    limits: dict[str, LimitSpec] = {}
    routes: list[RouteSpec] = []
    yield None
    for _ in range(count):
        for each in unpickler.load():
            if isinstance(each, RouteSpec):
                routes.append(each)
            else:
                limits[each.name] = each
        yield None
    yield replace(header, routes=tuple(routes), limits=limits)
