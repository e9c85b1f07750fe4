import pytest

from proxy.policy.answers import Answer, Form
from proxy.policy.reasons import Reason
from proxy.wire.answer import http_date, render

DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"
FORM = Form(
    "text/html",
    "en",
    b"HTTP/1.1 429 Too Many Requests\r\n",
    b"Content-Type: text/html\r\n",
    (b"wait ", b" s, ", b" s"),
)
ANSWER = Answer(Reason.RATE, 429, (FORM,), (2.0, 6.0))


@pytest.mark.parametrize(
    ("seconds", "date"),
    [
        (784111777, DATE),
        (0, b"Thu, 01 Jan 1970 00:00:00 GMT"),
        (951782400, b"Tue, 29 Feb 2000 00:00:00 GMT"),
    ],
)
def test_dates_are_imf_fixdates(seconds: int, date: bytes) -> None:
    assert http_date(seconds) == date


def test_an_answer_is_one_piece_with_its_seconds_filled_in() -> None:
    data = render(
        ANSWER,
        FORM,
        date=DATE,
        retry_after=12,
        extra=b"RateLimit: x\r\n",
        close=True,
        head_only=False,
    )
    assert data == (
        b"HTTP/1.1 429 Too Many Requests\r\n"
        b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        b"Content-Type: text/html\r\n"
        b"Retry-After: 12\r\n"
        b"RateLimit: x\r\n"
        b"Content-Length: 15\r\n"
        b"Connection: close\r\n"
        b"\r\n"
        b"wait 12 s, 12 s"
    )


def test_head_gets_the_length_without_the_body() -> None:
    data = render(ANSWER, FORM, date=DATE, retry_after=7, close=False, head_only=True)
    assert data.endswith(b"Retry-After: 7\r\nContent-Length: 13\r\n\r\n")


def test_without_seconds_there_is_no_retry_after() -> None:
    data = render(ANSWER, FORM, date=DATE, retry_after=None, close=False, head_only=False)
    assert b"Retry-After" not in data
    assert data.endswith(b"Content-Length: 11\r\n\r\nwait  s,  s")


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_content_has_no_length(status: int) -> None:
    answer = Answer(Reason.RATE, status, (FORM,))
    data = render(answer, FORM, date=DATE, retry_after=None, close=False, head_only=False)
    assert b"Content-Length" not in data
    assert data.endswith(b"text/html\r\n\r\n")
