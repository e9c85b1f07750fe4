"""Pages to answers: every form of every page for every reason, rendered when the rules load."""

from collections.abc import Hashable, Iterator, Mapping
from functools import cache
from html import escape
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

from proxy.policy.answers import Answer, Form
from proxy.policy.reasons import REQUEST_AT_FAULT, RETRY_LATER, Reason
from proxy.rules.references import BUNDLED_PAGES
from proxy.rules.schema import Fallback, Page
from proxy.rules.templates import RETRY_AFTER, Template

T = TypeVar("T", bound=Hashable)

DEFAULT_RETRY_AFTER = (2.0, 6.0)
"""Seconds. A few, since a rush passes quickly; and a range, so that it does not come back whole."""

HTML, JSON, TEXT = "text/html", "application/json", "text/plain"
PROBLEM = "application/problem+json"
"""RFC 9457."""

_NO_RETRY_AFTER = "0"


def default_page(reason: Reason) -> str:
    """The bundled page for a reason."""
    if reason in REQUEST_AT_FAULT:
        return "bad-request"
    return "busy" if reason.status in (429, 503) else "trouble"


class AnswerTable:
    """The answers of a document's pages. Equal answers are one object, however many routes."""

    def __init__(self, pages: Mapping[str, Page], templates: Mapping[str, Template]) -> None:
        self._pages = pages
        self._templates = templates
        self._answers: dict[tuple[str, Reason], Answer] = {}
        self._tables: dict[tuple[str, ...], dict[Reason, Answer]] = {}
        self._known: dict[Hashable, Hashable] = {}

    def by_reason(self, *fallbacks: Fallback) -> Mapping[Reason, Answer]:
        """The answer for each reason; the first fallback that names a page decides."""
        names = tuple(_page_name(reason, fallbacks) for reason in Reason)
        if names not in self._tables:
            self._tables[names] = {
                reason: self._answer(name, reason)
                for reason, name in zip(Reason, names, strict=True)
            }
        return self._tables[names]

    def _answer(self, name: str, reason: Reason) -> Answer:
        known = self._answers.get((name, reason))
        if known is not None:
            return known
        page = self._pages.get(name) or Page()
        status = page.status or reason.status
        retry_after = None
        if reason in RETRY_LATER:
            # An answer that is no error asks nobody to come back, unless its page says so.
            retry_after = page.retry_after or (DEFAULT_RETRY_AFTER if status >= 400 else None)
        sources = list(self._sources(name, page, reason, status, retry=retry_after is not None))
        values = {"status": str(status), "reason": str(reason), "title": _phrase(status)}
        if retry_after is None:
            values[RETRY_AFTER] = _NO_RETRY_AFTER
        safe, unsafe = (
            tuple(self._form(reason, *source, {**values, "safe": word}) for source in sources)
            for word in ("true", "false")
        )
        unsafe = unsafe if unsafe != safe else ()
        answer = self._same(Answer(reason, status, safe, retry_after, unsafe))
        self._answers[name, reason] = answer
        return answer

    def _sources(
        self, name: str, page: Page, reason: Reason, status: int, *, retry: bool
    ) -> Iterator[tuple[str, str, Template]]:
        """Media type, language and template of each form, in order of preference.

        JSON comes first: programs rarely say what they accept, and browsers always do.
        """
        bundled = page.status is None
        again = "-retry" if retry else ""
        if page.json_ is not None:
            yield JSON if status < 400 else PROBLEM, "", self._templates[page.json_]
        elif bundled:
            yield PROBLEM, "", _bundled(f"problem{again}.json")
        if page.html is not None:
            for language, path in page.html.items():
                yield HTML, language, self._templates[path]
        elif bundled:
            yield HTML, "", _bundled(f"{_bundled_html(name, reason)}.html")
        if page.text is not None:
            yield TEXT, "", self._templates[page.text]
        elif bundled:
            yield TEXT, "", _bundled(f"plain{again}.txt")

    def _form(
        self,
        reason: Reason,
        media_type: str,
        language: str,
        template: Template,
        values: Mapping[str, str],
    ) -> Form:
        status_line = f"HTTP/1.1 {values['status']} {values['title']}\r\n"
        if media_type == HTML:
            values = {key: escape(value) for key, value in values.items()}
        charset = "" if media_type in (JSON, PROBLEM) else "; charset=utf-8"
        lines = [f"Content-Type: {media_type}{charset}"]
        if language:
            lines.append(f"Content-Language: {language}")
        # RFC 9209: the details are for people; ours are the word that logs and metrics use.
        lines += [
            "Cache-Control: no-store",
            f'Proxy-Status: planb; error={reason.proxy_error}; details="{reason}"',
        ]
        return self._same(
            Form(
                media_type,
                language,
                self._same(status_line.encode()),
                self._same("".join(line + "\r\n" for line in lines).encode()),
                self._same(template.cut(values)),
            )
        )

    def _same(self, value: T) -> T:
        """The first value equal to this one, so that equal ones are kept and sent once."""
        return self._known.setdefault(value, value)  # type: ignore[return-value]


def _bundled_html(name: str, reason: Reason) -> str:
    """The bundled page that stands in for a page's own HTML: itself, if it is bundled.

    But `busy` promises that nothing was ordered, which nobody knows once the upstream was asked.
    """
    fitting = default_page(reason)
    unknown = name == "busy" and fitting == "trouble"
    return name if name in BUNDLED_PAGES and not unknown else fitting


def _page_name(reason: Reason, fallbacks: tuple[Fallback, ...]) -> str:
    for fallback in fallbacks:
        if reason in fallback.by_reason:
            return fallback.by_reason[reason]
        if fallback.page is not None and reason not in REQUEST_AT_FAULT:
            return fallback.page
    return default_page(reason)


def _phrase(status: int) -> str:
    """RFC 9110 section 15; older Pythons have older words."""
    if status == 413:
        return "Content Too Large"
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error" if status >= 400 else "OK"


@cache
def _bundled(name: str) -> Template:
    file = Path(__file__).parent / "pages" / name
    return Template(str(file), file.read_text("utf-8"))
