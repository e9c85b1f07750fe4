"""Answers of the proxy's own that are sent again and again within a second."""

from math import ceil
from typing import Final

from proxy.policy.answers import Answer, Form
from proxy.policy.snapshot import (
    AdaptiveSpec,
    GateSpec,
    LimitSpec,
    PaceSpec,
    RateSpec,
    SharedRateSpec,
)
from proxy.wire.answer import render
from proxy.wire.rate_limit import rate_limit_fields

MOST_ANSWERS: Final = 1024
MOST_BYTES: Final = 4 << 20
"""What is kept of one second. What comes on top is rendered each time."""

# An `int` of 30 bits is one digit to Python.
_KEY: Final = (1 << 30) - 1


class _Prepared:
    """What was rendered, and all that it was made of but the date."""

    __slots__ = ("answer", "data", "form", "limit", "others", "seconds")

    def __init__(
        self,
        data: bytes,
        answer: Answer,
        form: Form,
        limit: LimitSpec | AdaptiveSpec | GateSpec | None,
        seconds: int,
        others: int,
    ) -> None:
        self.data = data
        self.answer = answer
        self.form = form
        self.limit = limit
        self.seconds = seconds
        self.others = others


class PreparedAnswers:
    """Renders as `proxy.wire.answer.render` does, and keeps what it rendered while its date is
    that of the call.

    A flood of refusals differs in a few things only: the page's form, the seconds to wait.
    """

    __slots__ = ("_answers", "_date", "_room")

    def __init__(self) -> None:
        self._date = b""
        self._room = MOST_BYTES
        # By one number, since a key of all that it is made of takes five times as long. Of two that
        # share one the first is kept; which of them it is, it tells itself.
        self._answers: dict[int, _Prepared] = {}

    def render(
        self,
        answer: Answer,
        form: Form,
        *,
        date: bytes,
        retry_after: int | None,
        close: bool,
        head_only: bool,
        limit: LimitSpec | AdaptiveSpec | GateSpec | None = None,
        wait: float = 0.0,
        more: bytes = b"",
    ) -> bytes:
        """See `proxy.wire.answer.render`. `limit` is the one that refused, if one did: a rate or
        pace, that would admit in `wait` seconds, is told (`rate_limit_fields`). `more` are
        complete field lines; an answer with them is not kept.
        """
        if more:
            told = _told(limit, ceil(wait)) + more
            return render(
                answer,
                form,
                date=date,
                retry_after=retry_after,
                extra=told,
                close=close,
                head_only=head_only,
            )
        if date != self._date:
            self._date = date
            self._room = MOST_BYTES
            self._answers.clear()
        seconds = int(wait)
        if seconds < wait:
            seconds += 1
        others = (0 if retry_after is None else retry_after + 1) << 2 | close << 1 | head_only
        key = (id(form) * 8191 + id(limit) * 127 + (seconds << 20) + others) & _KEY
        known = self._answers.get(key)
        if (
            known is not None
            and known.form is form
            and known.limit is limit
            and known.answer is answer
            and known.seconds == seconds
            and known.others == others
        ):
            return known.data
        data = render(
            answer,
            form,
            date=date,
            retry_after=retry_after,
            extra=_told(limit, seconds),
            close=close,
            head_only=head_only,
        )
        if known is None and len(data) <= self._room and len(self._answers) < MOST_ANSWERS:
            self._room -= len(data)
            self._answers[key] = _Prepared(data, answer, form, limit, seconds, others)
        return data


def _told(limit: LimitSpec | AdaptiveSpec | GateSpec | None, seconds: int) -> bytes:
    if isinstance(limit, RateSpec | PaceSpec) and not isinstance(limit, SharedRateSpec):
        return rate_limit_fields(limit.name, limit.quota, limit.window, seconds)
    return b""
