"""Pages to answers."""

import json
from pathlib import Path

import pytest

from proxy.policy.answers import Answer, Form
from proxy.policy.reasons import REQUEST_AT_FAULT, RETRY_LATER, Reason
from proxy.rules.answers import AnswerTable, default_page
from proxy.rules.schema import Fallback
from tests.rules.documents import loaded


def form(answer: Answer, media_type: str, language: str = "") -> Form:
    (found,) = (
        each for each in answer.forms if each.media_type == media_type and each.language == language
    )
    return found


def body(answer: Answer, media_type: str, wait: str = "3") -> str:
    return wait.encode().join(form(answer, media_type).body).decode()


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_an_answer_in_every_form(tmp_path: Path, reason: Reason) -> None:
    answer = loaded(tmp_path, "").answers[reason]

    assert (answer.reason, answer.status) == (reason, reason.status)
    assert [each.media_type for each in answer.forms] == [
        "application/problem+json",
        "text/html",
        "text/plain",
    ]
    problem = json.loads(body(answer, "application/problem+json"))
    assert (problem["status"], problem["reason"]) == (reason.status, str(reason))
    assert body(answer, "text/html").startswith("<!doctype html>")
    assert str(reason) in body(answer, "text/plain")
    for each in (*answer.forms, *answer.unsafe_forms):
        assert b"{{" not in b"".join(each.body)


def test_the_head_tells_type_and_cause_and_forbids_storing(tmp_path: Path) -> None:
    answers = loaded(tmp_path, "").answers

    html = form(answers[Reason.RATE], "text/html")
    assert html.status_line == b"HTTP/1.1 429 Too Many Requests\r\n"
    assert html.head == (
        b"Content-Type: text/html; charset=utf-8\r\n"
        b"Cache-Control: no-store\r\n"
        b'Proxy-Status: planb; error=http_request_denied; details="rate"\r\n'
    )
    assert form(answers[Reason.BODY_TOO_LARGE], "text/plain").status_line == (
        b"HTTP/1.1 413 Content Too Large\r\n"
    )


@pytest.mark.parametrize(
    ("reason", "page"),
    [
        (Reason.RATE, "busy"),
        (Reason.DRAINING, "busy"),
        (Reason.UPSTREAM_ERROR, "trouble"),
        (Reason.UPSTREAM_TIMEOUT, "trouble"),
        (Reason.INTERNAL, "trouble"),
        (Reason.BAD_REQUEST, "bad-request"),
        (Reason.NOT_IMPLEMENTED, "bad-request"),
    ],
)
def test_a_reason_has_its_bundled_page(reason: Reason, page: str) -> None:
    assert default_page(reason) == page


@pytest.mark.parametrize("reason", Reason)
def test_only_what_passes_by_itself_asks_to_come_back(tmp_path: Path, reason: Reason) -> None:
    answer = loaded(tmp_path, "").answers[reason]

    assert answer.retry_after == ((2.0, 6.0) if reason in RETRY_LATER else None)
    # The wait can only be filled in where there is one.
    assert answer.retry_after or all(len(each.body) == 1 for each in answer.forms)
    has_wait = "retry_after" in json.loads(body(answer, "application/problem+json"))
    assert has_wait == (answer.retry_after is not None)


def test_pages_that_ask_for_the_method_come_in_two_variants(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("safe={{safe}} wait={{retry_after}}")
    (tmp_path / "b.html").write_text("the same")

    answers = loaded(
        tmp_path,
        """\
        pages: {a: {html: a.html}, b: {html: b.html}}
        fallback: {page: a, by_reason: {pace: b}}
        """,
    ).answers

    safe, unsafe = (
        next(each.body for each in forms if each.media_type == "text/html")
        for forms in (answers[Reason.RATE].forms, answers[Reason.RATE].unsafe_forms)
    )
    assert (safe, unsafe) == ((b"safe=true wait=", b""), (b"safe=false wait=", b""))
    assert answers[Reason.PACE].unsafe_forms == ()


def test_a_page_fills_in_for_all_reasons_that_do_not_lie_in_the_request(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    answers = loaded(tmp_path, "pages: {mine: {text: mine.txt}}\nfallback: {page: mine}\n").answers

    mine = {reason for reason in Reason if body(answers[reason], "text/plain") == "mine"}
    assert mine == set(Reason) - REQUEST_AT_FAULT


def test_the_nearest_fallback_decides_and_reasons_go_before_the_page(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / name).write_text(name)

    snapshot = loaded(
        tmp_path,
        """\
        pages: {a: {text: a}, b: {text: b}, c: {text: c}, d: {text: d}}
        fallback: {page: a, by_reason: {rate: b, pace: b, bad_request: b}}
        routes:
          - name: own
            match: {path: /own}
            fallback: {page: c, by_reason: {rate: d}}
          - name: reasons
            match: {path: /reasons}
            fallback: {by_reason: {rate: d}}
          - name: none
            match: {path: /none}
        """,
    )

    def texts(answers: object) -> str:
        assert isinstance(answers, dict)
        reasons = (Reason.RATE, Reason.PACE, Reason.DRAINING, Reason.BAD_REQUEST)
        return "".join(body(answers[reason], "text/plain")[:1] for reason in reasons)

    own, reasons, none = snapshot.routes
    assert [texts(each.answers) for each in (own, reasons, none)] == ["dccb", "dbab", "bbab"]
    assert texts(snapshot.answers) == "bbab"


def test_a_page_with_a_status_has_its_own_forms_only(tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text('{"items": [], "was": {{status}}}')

    answers = loaded(
        tmp_path, "pages: {empty: {status: 200, json: empty.json}}\nfallback: {page: empty}\n"
    ).answers

    answer = answers[Reason.CONCURRENCY]
    assert (answer.status, answer.retry_after) == (200, None)
    (only,) = answer.forms
    assert only.media_type == "application/json"
    assert only.status_line == b"HTTP/1.1 200 OK\r\n"
    assert b"Content-Type: application/json\r\n" in only.head
    assert b'details="concurrency"' in only.head
    assert only.body == (b'{"items": [], "was": 200}',)
    assert answers[Reason.BAD_REQUEST].status == 400


def test_a_page_s_own_status_and_wait_hold_in_all_that_it_says(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"status": {{status}}, "title": "{{title}}"}')

    answer = loaded(
        tmp_path,
        "pages: {a: {status: 418, json: a.json, retry_after: 5s}}\nfallback: {page: a}\n",
    ).answers[Reason.RATE]

    assert answer.retry_after == (5.0, 5.0)
    assert form(answer, "application/problem+json").status_line == b"HTTP/1.1 418 I'm a Teapot\r\n"
    assert json.loads(body(answer, "application/problem+json")) == {
        "status": 418,
        "title": "I'm a Teapot",
    }


def test_a_status_without_a_name_gets_a_plain_one_and_html_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<h1 title='{{title}}'>")

    odd, teapot = (
        form(
            loaded(
                tmp_path,
                f"pages: {{a: {{status: {status}, html: a.html}}}}\nfallback: {{page: a}}\n",
            ).answers[Reason.RATE],
            "text/html",
        )
        for status in (499, 418)
    )

    assert odd.status_line == b"HTTP/1.1 499 Error\r\n"
    assert teapot.body == (b"<h1 title='I&#x27;m a Teapot'>",)


def test_a_page_may_speak_several_languages(tmp_path: Path) -> None:
    (tmp_path / "en.html").write_text("busy")
    (tmp_path / "zh.html").write_text("忙")

    answer = loaded(tmp_path, "pages: {busy: {html: {en: en.html, zh: zh.html}}}\n").answers[
        Reason.RATE
    ]

    assert [each.language for each in answer.forms] == ["", "en", "zh", ""]
    zh = form(answer, "text/html", "zh")
    assert b"Content-Language: zh\r\n" in zh.head
    assert zh.body == ("忙".encode(),)


def test_a_bundled_page_may_be_changed_in_part(tmp_path: Path) -> None:
    answers = loaded(tmp_path, "pages: {busy: {retry_after: 1s..3s}}\n").answers

    assert answers[Reason.RATE].retry_after == (1.0, 3.0)
    assert answers[Reason.UPSTREAM_ERROR].retry_after == (2.0, 6.0)
    assert "<!doctype html>" in body(answers[Reason.RATE], "text/html")


def test_a_thousand_routes_share_their_answers(tmp_path: Path) -> None:
    routes = "".join(
        f"  - {{name: r{n}, match: {{path: /r{n}}}, fallback: {{page: busy}}}}\n"
        for n in range(1000)
    )

    snapshot = loaded(tmp_path, f"routes:\n{routes}")

    assert len({id(route.answers) for route in snapshot.routes}) == 1
    first = snapshot.routes[0].answers
    # What no route changes is shared with the rest; and what reasons share is one text.
    assert first[Reason.BAD_REQUEST] is snapshot.answers[Reason.BAD_REQUEST]
    heads = {id(each.head) for answer in first.values() for each in answer.forms}
    assert len(heads) == len(Reason) * 3


def test_busy_never_promises_that_nothing_was_ordered_once_the_upstream_was_asked() -> None:
    answers = AnswerTable({}, {}).by_reason(Fallback(page="busy"))

    def html(reason: Reason) -> bytes:
        forms = answers[reason].unsafe_forms or answers[reason].forms
        return next(b"".join(form.body) for form in forms if form.media_type == "text/html")

    assert b"nothing was ordered" in html(Reason.RATE).lower()
    assert b"nothing was ordered" not in html(Reason.UPSTREAM_TIMEOUT).lower()
