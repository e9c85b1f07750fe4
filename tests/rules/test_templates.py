"""Placeholders in page files."""

import pytest

from proxy.rules.templates import PLACEHOLDERS, Template

VALUES = {"status": "503", "reason": "draining", "title": "Service Unavailable", "safe": "true"}


def test_placeholders_are_replaced_and_the_wait_cuts_the_text() -> None:
    template = Template("p", "{{status}} {{ title }}: {{retry_after}}s, or {{retry_after}}s.")

    assert template.cut(VALUES) == (b"503 Service Unavailable: ", b"s, or ", b"s.")
    assert template.cut({**VALUES, "retry_after": "0"}) == (b"503 Service Unavailable: 0s, or 0s.",)


def test_a_text_without_a_wait_is_one_piece_in_utf_8() -> None:
    assert Template("p", "稍后 {{reason}}").cut(VALUES) == ("稍后 draining".encode(),)


@pytest.mark.parametrize("text", ["{ {status} }", "{{}}", "{{1}}", "{%status%}", "a{{{b:{}}}}"])
def test_other_braces_stay(text: str) -> None:
    template = Template("p", text)

    assert list(template.problems()) == []
    assert template.cut(VALUES) == (text.encode(),)


def test_an_unknown_placeholder_is_reported_where_it_stands() -> None:
    template = Template("p.html", "{{status}}\n<p>é{{ retryafter }}\n{{shop.name}}")

    assert [str(problem) for problem in template.problems()] == [
        'p.html:2:5: retryafter: unknown placeholder; did you mean "retry_after"?',
        f"p.html:3:1: shop.name: unknown placeholder; they are {', '.join(PLACEHOLDERS)}",
    ]


@pytest.mark.parametrize(
    ("text", "report"),
    [
        ('{"wait": {{retry_after}}, "title": "{{title}}"}', []),
        ('{"a": 1,\n "b" 2}', ["p.json:2:6: not JSON: Expecting ':' delimiter"]),
        ("[" * 100_000, ["p.json:1:1: not JSON: nested too deeply"]),
        # Reported as a placeholder, and not twice.
        ('{"a": {{unknown}}}', []),
    ],
)
def test_json_is_looked_at_once_its_placeholders_are_replaced(text: str, report: list[str]) -> None:
    assert [str(problem) for problem in Template("p.json", text).json_problems()] == report
