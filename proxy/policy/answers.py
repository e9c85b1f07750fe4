"""What is sent instead: answers in several forms, rendered when the rules load."""

from dataclasses import dataclass

from proxy.policy.reasons import Reason


@dataclass(frozen=True, slots=True)
class Form:
    """One representation of an answer.

    `media_type` is lower case without parameters, `language` a lower-case primary tag (`en`) or
    empty. `status_line` and `head` (field lines) are rendered, each line with its CRLF; `Date`,
    `Retry-After` and `Content-Length` are not among them. `body` is the content, cut wherever
    the seconds of `Retry-After` stand in it.
    """

    media_type: str
    language: str
    status_line: bytes
    head: bytes
    body: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a refusal sends: `forms`, the preferred first.

    `retry_after` is the range in seconds from which `Retry-After` is drawn, so that refused
    clients do not come back at the same instant; None leaves the field out. `unsafe_forms` serve
    every method but GET and HEAD, where a page says something else then; empty when `forms` serve
    all.
    """

    reason: Reason
    status: int
    forms: tuple[Form, ...]
    retry_after: tuple[float, float] | None = None
    unsafe_forms: tuple[Form, ...] = ()
