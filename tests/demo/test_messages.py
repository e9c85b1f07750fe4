from email.message import Message
from http import HTTPStatus

import pytest

from proxy.demo.messages import HttpError, Request, Response


def request(target: str = "/", body: bytes = b"", **headers: str) -> Request:
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return Request("POST", target, message, body)


def test_path_and_query_are_decoded() -> None:
    asked = request("/a%20b?limit=5&limit=6&empty=")
    assert asked.path == "/a b"
    assert asked.query == {"limit": "5", "empty": ""}


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("application/json", True),
        ("text/html,application/json", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_json_is_for_who_asks_for_it_and_not_for_html(accept: str, wanted: bool) -> None:
    assert request(Accept=accept).wants_json is wanted


@pytest.mark.parametrize(
    ("cookies", "sid"),
    [("a=b; sid=x", "x"), ("a=b", None), ("", None), ("sid={bad]; =", None)],
)
def test_a_cookie_is_found_or_absent(cookies: str, sid: str | None) -> None:
    assert request(Cookie=cookies).cookie("sid") == sid


def test_forms_and_json_are_read_alike() -> None:
    fields = {"item_id": "3", "coupon": "é"}
    form = request(body=b"item_id=3&coupon=%C3%A9")
    assert form.form() == fields
    json = request(
        body='{"item_id": 3, "coupon": "é", "no": null}'.encode(),
        Content_Type="application/json; charset=utf-8",
    )
    assert json.form() == fields


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"\xff", "application/x-www-form-urlencoded", 400),
        (b"&".join([b"a=1"] * 101), "application/x-www-form-urlencoded", 400),
        (b"", "multipart/form-data; boundary=x", 415),
    ],
)
def test_a_body_that_can_not_be_read_is_the_clients_fault(
    body: bytes, media_type: str, status: int
) -> None:
    with pytest.raises(HttpError) as raised:
        request(body=body, Content_Type=media_type).form()
    assert raised.value.status == status


def test_headers_are_added_to_a_copy() -> None:
    plain = Response.html("x")
    assert plain.adding(("A", "b")).headers == (*plain.headers, ("A", "b"))
    assert plain == Response(HTTPStatus.OK, b"x", plain.headers)
