"""The bundled texts themselves; test_bundled_pages shows them to a browser."""

import json
import re
from pathlib import Path

import pytest

from proxy.policy.reasons import Reason
from proxy.rules.templates import Template

ROOT = Path(__file__).parents[2]
BUNDLED = ROOT / "proxy/rules/pages"
RETRYING = ("busy.html", "trouble.html")
HTML = (*RETRYING, "bad-request.html")


def filled(name: str, status: int, reason: str) -> str:
    values = {"status": str(status), "reason": reason, "title": "Some Title", "retry_after": "4"}
    (body,) = Template(name, (BUNDLED / name).read_text()).cut(values)
    return body.decode()


def test_only_the_busy_page_promises_that_nothing_was_ordered() -> None:
    promise = "nothing was ordered"
    assert [name for name in HTML if promise in (BUNDLED / name).read_text()] == ["busy.html"]


@pytest.mark.parametrize("name", HTML)
def test_a_page_is_smaller_than_6_kb(name: str) -> None:
    assert len((BUNDLED / name).read_bytes()) < 6000


def test_busy_and_trouble_differ_in_words_and_picture_only() -> None:
    busy, trouble = ((BUNDLED / name).read_text() for name in RETRYING)
    for tag in ("style", "script"):
        pattern = re.compile(f"<{tag}>.*</{tag}>", re.DOTALL)
        assert pattern.findall(busy) == pattern.findall(trouble) != []


@pytest.mark.parametrize("reason", Reason)
def test_problems_are_those_of_rfc_9457(reason: Reason) -> None:
    for name, extra in (("problem.json", {}), ("problem-retry.json", {"retry_after": 4})):
        problem = json.loads(filled(name, reason.status, reason))
        assert problem.pop("detail")
        assert problem == {
            "type": "about:blank",
            "title": "Some Title",
            "status": reason.status,
            "reason": reason,
            **extra,
        }


def test_plain_text_says_status_reason_and_when_to_return() -> None:
    text = filled("plain-retry.txt", 429, "rate")
    assert text.startswith("429 Some Title (rate)\n")
    assert "after 4 seconds" in text
    assert filled("plain.txt", 400, "bad_request") == "400 Some Title (bad_request)\n"


def test_the_empty_list_is_one_in_both_forms() -> None:
    pages = ROOT / "config/pages"
    assert json.loads((pages / "empty-list.json").read_text()) == {"items": []}
    fragment = (pages / "empty-list.html").read_text()
    assert re.findall(r'lang="([^"]+)"', fragment) == ["en", "zh-Hans"]
