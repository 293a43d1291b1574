"""Plain HTTP messages, which the endpoints of the protocol read and return without a web framework.

A `Request` reads a WSGI environment, each part at its first use. A `Response` is a WSGI application, as those of
Werkzeug are.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from flask import has_request_context
from flask import request as flask_request
from werkzeug.datastructures import MultiDict
from werkzeug.http import dump_cookie
from werkzeug.sansio.http import parse_cookie
from werkzeug.utils import cached_property
from werkzeug.wrappers import Response as WerkzeugResponse
from werkzeug.wsgi import get_input_stream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MAX_BODY = 64 * 1024
"""Bytes of a request's body, at most."""
FORM = "application/x-www-form-urlencoded"
_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
IP_LENGTH = 45
"""Characters of an IP, at most."""
_AGENT_LENGTH = 300
_BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
KEY = "idp.request"
"""The key of the request in its WSGI environment."""


class Request:
    """A request, as a WSGI server describes it.

    Attributes:
        method: The method, in upper case.
        path: The decoded path, with one slash at its start.
        query_string: The query, still encoded.
        remote_ip: The IP of the browser or client, or an empty text.
        scheme: `http` or `https`.
        id: An id such as 7F3K-92QD, on error pages, in the log and in the journal; short enough to read out.
        endpoint: The name of the endpoint or page, for the log; None if there is none.
        browser_cookie: The browser cookie (`idp.web.browser`), once it was asked for.
    """

    id = ""
    endpoint: str | None = None
    browser_cookie: Any = None

    def __init__(self, environ: "WSGIEnvironment") -> None:
        self.environ = environ
        self.method: str = environ["REQUEST_METHOD"].upper()
        self.path = "/" + utf8(environ.get("PATH_INFO", "")).lstrip("/")
        self.query_string: bytes = environ.get("QUERY_STRING", "").encode("latin-1")
        self.remote_ip: str = (environ.get("REMOTE_ADDR") or "")[:IP_LENGTH]
        self.scheme: str = environ.get("wsgi.url_scheme", "http")

    def for_flask(self) -> "WSGIEnvironment":
        """Return the environment for Flask, which finds this request there."""
        self.environ[KEY] = self
        self.environ["REMOTE_ADDR"] = self.remote_ip
        self.environ["wsgi.url_scheme"] = self.scheme
        return self.environ

    def header(self, name: str, default: str = "") -> str:
        """Return a header by its name, such as `Authorization`; lines of one name are joined by commas."""
        value: str = self.environ.get(f"HTTP_{name.upper().replace('-', '_')}", default)
        return value

    def has_header(self, name: str) -> bool:
        """Return whether the request has a header of this name."""
        return f"HTTP_{name.upper().replace('-', '_')}" in self.environ

    @property
    def content_type(self) -> str:
        """The header `Content-Type`, or an empty text."""
        value: str = self.environ.get("CONTENT_TYPE", "")
        return value

    @cached_property
    def decided(self) -> dict[str, Any]:
        """What was decided about the request before it was handed on, to a thread or to Flask, by its name."""
        return {}

    @cached_property
    def cookies(self) -> dict[str, str]:
        """The cookies by their names; of several with one name, the first."""
        return parse_cookie(utf8(self.header("Cookie"))).to_dict()

    @cached_property
    def arguments(self) -> dict[str, str]:
        """The parameters of the query by their names; of several with one name, the first."""
        pairs = parse_qsl(self.query_string.decode(errors="replace"), keep_blank_values=True)
        return dict(reversed(pairs))

    @cached_property
    def media_type(self) -> str:
        """The media type of the body, in lower case and without parameters; empty if none is declared."""
        return self.content_type.partition(";")[0].strip().lower()

    @cached_property
    def body(self) -> bytes:
        """The body. Flask can read it from the environment afterwards.

        Raises:
            RequestEntityTooLarge: It is longer than `MAX_BODY`.
        """
        content = get_input_stream(self.environ, max_content_length=MAX_BODY).read()
        self.environ["wsgi.input"] = BytesIO(content)
        return content

    @property
    def form(self) -> bytes:
        """The body if it is a form, still encoded; empty for a body of another type."""
        return self.body if self.media_type == FORM else b""

    @cached_property
    def fields(self) -> MultiDict[str, str]:
        """The fields of a form in the body; empty for a body of another type."""
        return MultiDict(parse_qsl(self.form.decode(errors="replace"), keep_blank_values=True))

    @property
    def user_agent(self) -> str:
        """The `User-Agent` header, 300 characters at most."""
        return self.header("User-Agent")[:_AGENT_LENGTH].replace("\0", "")


def utf8(text: str) -> str:
    """Return a text of the environment, each character of which is one byte, decoded."""
    return text if text.isascii() else text.encode("latin-1").decode(errors="replace")


class Response:
    """A response with a whole body, and the headers in their order."""

    __slots__ = ("body", "headers", "status")

    def __init__(
        self,
        body: bytes | str = b"",
        status: int = 200,
        headers: Iterable[tuple[str, str]] = (),
        *,
        content_type: str = "",
    ) -> None:
        self.body = body.encode() if isinstance(body, str) else body
        self.status = status
        self.headers = list(headers)
        if content_type:
            self.headers.append(("Content-Type", content_type))

    def set_cookie(self, name: str, value: str = "", **options: Any) -> None:
        """Add a cookie; the options are those of Werkzeug's `dump_cookie`."""
        self.headers.append(("Set-Cookie", dump_cookie(name, value, **options)))

    def delete_cookie(self, name: str, **options: Any) -> None:
        """Tell the browser to delete a cookie."""
        self.set_cookie(name, expires=0, max_age=0, **options)

    def message(self, method: str) -> tuple[list[tuple[str, str]], bytes]:
        """Return the headers with `Content-Length`, and the body, to send for a request of this method."""
        if self.status in _BODILESS:
            return self.headers, b""
        headers = self.headers
        if not any(name.lower() == "content-length" for name, _ in headers):
            headers = [*headers, ("Content-Length", str(len(self.body)))]
        return headers, b"" if method == "HEAD" else self.body

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Sequence[bytes]:
        """Send the response (PEP 3333)."""
        headers, body = self.message(environ["REQUEST_METHOD"])
        start_response(_STATUS_LINES.get(self.status, f"{self.status} "), headers)
        return [body] if body else []


_to_json = json.JSONEncoder(separators=(",", ":")).encode


def json_response(content: object, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """Return a response with `content` as JSON."""
    return Response(_to_json(content), status, headers, content_type="application/json")


def see_other(location: str) -> Response:
    """Return a redirect with 303 to `location`, which our code built or checked, and took from no request.

    Browsers follow a 303 by GET, so that a password is not sent on (RFC 9700 4.12).
    """
    return Response(status=303, headers=[("Location", location)])


AnyResponse = Response | WerkzeugResponse
"""A response of an endpoint of the protocol, or of a page."""

_current: ContextVar[Request | None] = ContextVar("request", default=None)


@contextmanager
def answering(request: Request) -> Iterator[None]:
    """Make `request` the current one in the block."""
    token = _current.set(request)
    try:
        yield
    finally:
        _current.reset(token)


def has_request() -> bool:
    """Return whether a request is being answered."""
    return _current.get() is not None or has_request_context()


def current_request() -> Request:
    """Return the request that is being answered: by an endpoint of the protocol, or by a page of Flask.

    Raises:
        RuntimeError: None is.
    """
    request = _current.get()
    if request is not None:
        return request
    known: Request | None = flask_request.environ.get(KEY)
    if known is None:  # a context that a test or a command opened
        known = flask_request.environ[KEY] = Request(flask_request.environ)
    return known
