import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.answers import Answer, Form
from proxy.policy.reasons import Reason
from proxy.wire.negotiation import MAX_FIELD_BYTES, choose_form


def form(media_type: str, language: str = "") -> Form:
    return Form(media_type, language, b"", b"", ())


HTML_EN, HTML_ZH = form("text/html", "en"), form("text/html", "zh")
JSON, TEXT = form("application/problem+json"), form("text/plain")
BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


def answer(*forms: Form, unsafe: tuple[Form, ...] = ()) -> Answer:
    return Answer(Reason.RATE, 429, forms, unsafe_forms=unsafe)


ANSWER = answer(HTML_EN, HTML_ZH, JSON, TEXT)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, HTML_EN),
        (b"", HTML_EN),
        (b"*/*", HTML_EN),
        (BROWSER, HTML_EN),
        (b"application/json", JSON),
        (b"application/problem+json", JSON),
        (b"application/json, text/plain, */*", JSON),
        (b"application/*", JSON),
        (b"APPLICATION/JSON; Q=0.5 , text/plain;q=0.4", JSON),
        (b"text/plain", TEXT),
        (b"text/plain;q=0.9, text/html;q=0.8", TEXT),
        (b"text/*;q=0.5, text/plain;q=0.1, */*;q=0.2", HTML_EN),
        (b"text/html;q=0, */*", JSON),
        (b"text/html;level=1;q=0.1, text/plain;charset=utf-8;q=0.2", TEXT),
        # Nothing acceptable.
        (b"image/png", JSON),
        (b"*/*;q=0", JSON),
        # Malformed ranges don't count, and a field without any other accepts everything.
        (b"nonsense", HTML_EN),
        (b"text/plain;q=nonsense, application/json;q=0.1", JSON),
        (b"text/plain;q=2, application/json;q=0.1", JSON),
        (b";;;,,,/,\xff/\x00", HTML_EN),
    ],
)
def test_the_media_type_is_negotiated(accept: bytes | None, expected: Form) -> None:
    assert choose_form(ANSWER, accept, None) is expected


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        (None, HTML_EN),
        (b"*", HTML_EN),
        (b"zh", HTML_ZH),
        (b"zh-Hant-TW;q=0.9, fr", HTML_ZH),
        (b"ZH, en", HTML_ZH),
        (b"en-US,en;q=0.9,zh;q=0.8", HTML_EN),
        (b"en;q=0.5, zh;q=0.7", HTML_ZH),
        (b"en;q=0, *", HTML_ZH),
        (b"fr", HTML_EN),
        (b"\xff;;q=", HTML_EN),
    ],
)
def test_the_language_is_negotiated(language: bytes | None, expected: Form) -> None:
    assert choose_form(ANSWER, BROWSER, language) is expected


def test_the_media_type_goes_before_the_language() -> None:
    assert choose_form(ANSWER, b"application/json", b"zh") is JSON


def test_a_form_without_language_goes_before_one_that_nobody_asked_for() -> None:
    neutral = form("text/html")
    mixed = answer(HTML_EN, neutral)
    assert choose_form(mixed, BROWSER, b"fr") is neutral
    assert choose_form(mixed, BROWSER, b"en;q=0.1") is HTML_EN


def test_without_json_the_first_form_serves_who_accepts_nothing() -> None:
    assert choose_form(answer(TEXT, HTML_ZH), b"image/png", None) is TEXT


def test_a_single_form_serves_everybody() -> None:
    assert choose_form(answer(HTML_EN), b"application/json", b"zh") is HTML_EN


def test_unsafe_methods_choose_among_their_own_forms() -> None:
    split = answer(HTML_EN, unsafe=(HTML_ZH,))
    assert choose_form(split, None, None, safe=False) is HTML_ZH
    assert choose_form(split, None, None) is HTML_EN
    assert choose_form(answer(HTML_EN), None, None, safe=False) is HTML_EN


def test_no_more_than_a_bounded_part_is_read() -> None:
    padding = b"a/b," * (MAX_FIELD_BYTES // 4)
    assert choose_form(ANSWER, padding + b"text/plain", None) is JSON


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_nothing_in_the_fields_raises(accept: bytes, language: bytes) -> None:
    assert choose_form(ANSWER, accept, language) in ANSWER.forms


@given(st.text(alphabet="texhml/*;q=01.,- ", max_size=60).map(str.encode))
def test_nothing_that_looks_like_a_range_raises(field: bytes) -> None:
    assert choose_form(ANSWER, field, field) in ANSWER.forms


def test_what_was_chosen_for_forms_that_are_gone_is_not_taken_for_others() -> None:
    """Choices are remembered by identity, and what is gone gives its identity away."""
    for number in range(200):
        name = f"text/x{number}"
        forms = (
            Form("text/html", "", b"", b"", ()),
            Form(name, "", b"", b"", ()),
        )
        answer = Answer(Reason.RATE, 429, forms)
        assert choose_form(answer, name.encode(), None).media_type == name
        del forms, answer
