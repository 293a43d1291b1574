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

from flask import has_request_context, request as flask_request
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.http import dump_cookie, parse_options_header
from werkzeug.sansio.http import parse_cookie
from werkzeug.utils import cached_property
from werkzeug.wrappers import Response as WerkzeugResponse
from werkzeug.wsgi import get_input_stream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MAX_TARGET = 8190  # characters of the path and the query of a request, at most
MAX_PARAMETERS = 100  # parameters of a query, at most: each costs time wherever the query is read or repeated
MAX_COOKIES = 16 * 1024  # characters of the header `Cookie`, at most
MAX_BODY = 64 * 1024  # bytes of a request's body, at most
MAX_UPLOAD = 32 * 1024 * 1024  # bytes of the body of a form that uploads files, at most
MAX_FIELDS = 50  # fields of a form, at most
# Bytes of the fields of a form with files, at most; the parser holds a page of a file beside them.
_PARSED = 4 * MAX_BODY
FORM = "application/x-www-form-urlencoded"
FORM_WITH_FILES = "multipart/form-data"
_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
IP_LENGTH = 45  # characters of an IP, at most
_AGENT_LENGTH = 300
_BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
KEY = "idp.request"  # the key of the request in its WSGI environment


class Request:
    """A request, as a WSGI server describes it.

    Attributes:
        method: The method, in upper case.
        path: The decoded path, with one slash at its start.
        query_string: The query, still encoded.
        remote_ip: The IP of the browser or client, or an empty text.
        scheme: `http` or `https`.
        id: An id such as 7F3K-92QD, on error pages, in the log and in the journal; short enough to read out.
        trace_id: The id of its trace, for the log; empty if the proxy named none.
        endpoint: The name of the endpoint or page, for the log; None if there is none.
        takes_files: Whether the page of this path takes forms with files.
        max_body: How many bytes of the body are read, at most.
        browser_cookie: The browser cookie (`idp.web.browser`), once it was asked for.
        shows_again: Whether it only shows a form again, with what was typed, in another language.
        names_people: Whether the page names people, so that its length must tell nothing.
    """

    id = ""
    trace_id = ""
    endpoint: str | None = None
    takes_files = False
    max_body = MAX_BODY
    browser_cookie: Any = None
    shows_again = False
    names_people = False

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
    def kept_cookies(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """The cookies that the response has to set whatever it is, also an error page: values and options by names."""
        return {}

    @cached_property
    def has_long_target(self) -> bool:
        """Whether the path and the query exceed a limit. The request is refused then, and its query never read."""
        return len(self.path) + len(self.query_string) > MAX_TARGET or self.query_string.count(b"&") >= MAX_PARAMETERS

    @property
    def has_many_cookies(self) -> bool:
        """Whether the cookies exceed their limit. The request is refused then, and they are never read."""
        return len(self.header("Cookie")) > MAX_COOKIES

    @property
    def has_many_fields(self) -> bool:
        """Whether the body has more than `MAX_FIELDS` fields. The request is refused then, and they are never read.

        Raises:
            RequestEntityTooLarge: The body is longer than `max_body`.
        """
        return self.body.count(b"&") > MAX_FIELDS

    @cached_property
    def cookies(self) -> dict[str, str]:
        """The cookies by their names; of several with one name, the first."""
        return {} if self.has_many_cookies else parse_cookie(utf8(self.header("Cookie"))).to_dict()

    @cached_property
    def arguments(self) -> dict[str, str]:
        """The parameters of the query by their names; of several with one name, the first."""
        if self.has_long_target:
            return {}
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
            RequestEntityTooLarge: It is longer than `max_body`.
        """
        content = get_input_stream(self.environ, max_content_length=self.max_body).read()
        self.environ["wsgi.input"] = BytesIO(content)
        return content

    @property
    def form(self) -> bytes:
        """The body if it is a form, still encoded; empty for a body of another type."""
        return self.body if self.media_type == FORM else b""

    @cached_property
    def fields(self) -> MultiDict[str, str]:
        """The fields of a form in the body; empty for a body of another type.

        Raises:
            RequestEntityTooLarge: There are too many, or the body is too long.
        """
        if self.has_files:
            return self._parts[0]
        if self.has_many_fields:
            raise RequestEntityTooLarge
        return MultiDict(parse_qsl(self.form.decode(errors="replace"), keep_blank_values=True))

    @property
    def has_files(self) -> bool:
        """Whether the body is a form with files, on a page that takes such forms."""
        return self.takes_files and self.media_type == FORM_WITH_FILES

    @property
    def files(self) -> MultiDict[str, FileStorage]:
        """The files of a form by the names of their fields; empty on a page that takes none."""
        return self._parts[1] if self.has_files else MultiDict()

    @cached_property
    def _parts(self) -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]]:
        """The fields and the files of a form; the files stay in memory, because nothing of them may reach the disk.

        Raises:
            RequestEntityTooLarge: It has more than `MAX_FIELDS` parts, or long fields.
        """
        parser = FormDataParser(
            stream_factory=lambda *_args, **_more: BytesIO(),
            max_form_memory_size=_PARSED,
            max_content_length=self.max_body,
            max_form_parts=MAX_FIELDS,
            silent=True,
        )
        _, options = parse_options_header(self.content_type)
        _, fields, files = parser.parse(BytesIO(self.body), self.media_type, len(self.body), options)
        return fields, files

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


AnyResponse = Response | WerkzeugResponse  # a response of an endpoint of the protocol, or of a page

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
