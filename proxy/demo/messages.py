"""An HTTP request and response, as the demo's services see them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from functools import cached_property
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, unquote, urlsplit


class HttpError(Exception):
    """A request that can't be answered as asked: `status`, and `text` for a person to read."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True)
class Request:
    """One request with its whole body. `headers` are looked up without regard to case."""

    method: str
    target: str
    headers: Message
    body: bytes = b""

    @cached_property
    def path(self) -> str:
        """The target's path, percent-decoded."""
        return unquote(self._split.path)

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The query's parameters; of several with one name, the first."""
        return _first_values(self._split.query)

    @property
    def wants_json(self) -> bool:
        """Whether the client is a program: it asks for JSON and not for HTML."""
        accept = self.headers.get("Accept", "")
        return "application/json" in accept and "text/html" not in accept

    def cookie(self, name: str) -> str | None:
        """The cookie `name`; None when it is absent or the field can't be read."""
        try:
            cookies = SimpleCookie(self.headers.get("Cookie", ""))
        except CookieError:
            return None
        return cookies[name].value if name in cookies else None

    def form(self) -> Mapping[str, str]:
        """The body's fields, from a form or a flat JSON object.

        Raises HttpError 400 for a body that is neither, 415 for another media type.
        """
        media_type = self.headers.get_content_type() if "Content-Type" in self.headers else ""
        try:
            if media_type == "application/json":
                fields = json.loads(self.body)
                if not isinstance(fields, dict):
                    raise HttpError(HTTPStatus.BAD_REQUEST, "The JSON body is not an object.")
                return {name: str(value) for name, value in fields.items() if value is not None}
            if media_type in ("application/x-www-form-urlencoded", ""):
                return _first_values(self.body.decode())
        except (ValueError, RecursionError) as error:
            raise HttpError(HTTPStatus.BAD_REQUEST, "The body could not be read.") from error
        raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send a form or JSON.")

    @cached_property
    def _split(self) -> "_Target":
        try:
            parts = urlsplit(self.target)
        except ValueError as error:
            raise HttpError(HTTPStatus.BAD_REQUEST, "The address could not be read.") from error
        return _Target(parts.path, parts.query)


@dataclass(frozen=True)
class _Target:
    path: str
    query: str


def _first_values(encoded: str) -> Mapping[str, str]:
    try:
        fields = parse_qs(encoded, keep_blank_values=True, max_num_fields=100)
    except ValueError as error:
        raise HttpError(HTTPStatus.BAD_REQUEST, "The parameters could not be read.") from error
    return {name: values[0] for name, values in fields.items()}


@dataclass(frozen=True)
class Response:
    """What is answered. Content-Length, Date, Server and Connection are added when it is sent."""

    status: HTTPStatus
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def html(cls, text: str, status: HTTPStatus = HTTPStatus.OK) -> "Response":
        """A page."""
        return cls(status, text.encode(), (("Content-Type", "text/html; charset=utf-8"),))

    @classmethod
    def json(cls, value: object, status: HTTPStatus = HTTPStatus.OK) -> "Response":
        """An answer for a program."""
        return cls(status, json.dumps(value).encode(), (("Content-Type", "application/json"),))

    def adding(self, *headers: tuple[str, str]) -> "Response":
        """The same response with `headers` added."""
        return Response(self.status, self.body, self.headers + headers)
