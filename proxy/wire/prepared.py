"""Answers of the proxy's own that are sent again and again within a second."""

from typing import Final

from proxy.policy.answers import Answer, Form
from proxy.policy.snapshot import AdaptiveSpec, GateSpec, LimitSpec, PaceSpec, RateSpec
from proxy.wire.answer import render
from proxy.wire.rate_limit import rate_limit_fields

MOST_ANSWERS: Final = 1024
MOST_BYTES: Final = 4 << 20
"""What is kept of one second. What comes on top is rendered each time."""


class PreparedAnswers:
    """Renders as `proxy.wire.answer.render` does, and keeps what it rendered while its date is
    that of the call.

    A flood of refusals differs in a few things only: the page's form, the seconds to wait.
    """

    __slots__ = ("_answers", "_date", "_room")

    def __init__(self) -> None:
        self._date = b""
        self._room = MOST_BYTES
        # By identity of answer, form and limit, which are kept with the bytes: no others can take
        # their place in memory, and with it their identity, as long as the entry stands.
        self._answers: dict[
            tuple[int, int, int, int, int],
            tuple[bytes, Answer, Form, LimitSpec | AdaptiveSpec | GateSpec | None],
        ] = {}

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
    ) -> bytes:
        """See `proxy.wire.answer.render`. `limit` is the one that refused, if one did: a rate or
        pace, that would admit in `wait` seconds, is told (`rate_limit_fields`).
        """
        if date != self._date:
            self._date = date
            self._room = MOST_BYTES
            self._answers.clear()
        seconds = int(wait)
        if seconds < wait:
            seconds += 1
        # Of seven numbers a key would take a third longer.
        others = (0 if retry_after is None else retry_after + 1) << 2 | close << 1 | head_only
        key = (id(answer), id(form), id(limit), seconds, others)
        known = self._answers.get(key)
        if known is not None:
            return known[0]
        data = render(
            answer,
            form,
            date=date,
            retry_after=retry_after,
            extra=_told(limit, seconds),
            close=close,
            head_only=head_only,
        )
        if len(data) <= self._room and len(self._answers) < MOST_ANSWERS:
            self._room -= len(data)
            self._answers[key] = (data, answer, form, limit)
        return data


def _told(limit: LimitSpec | AdaptiveSpec | GateSpec | None, seconds: int) -> bytes:
    if isinstance(limit, RateSpec | PaceSpec):
        return rate_limit_fields(limit.name, limit.quota, limit.window, seconds)
    return b""
