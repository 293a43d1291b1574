"""The door of the service: it answers requests to endpoints of the protocol, and leaves all others to Flask.

Each request gets its id, the IP that the declared proxies tell, the security headers and its line in the log here. An
endpoint gets the same limits, origin for the journal, cookie and error pages as a page of Flask; only Flask's request
context, its matching of routes and the hooks of extensions are left out, which cost more than the endpoint's own work.
"""

import json
import math
from collections.abc import Callable, Container, Iterable, Sequence
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, Any

import structlog
from flask import Blueprint, Flask, request as flask_request
from structlog.contextvars import bind_contextvars, unbind_contextvars
from werkzeug.exceptions import default_exceptions

from idp import waiting
from idp.clock import now
from idp.config import Settings
from idp.db import refuse_unwritten_changes
from idp.logging import stamp, write
from idp.metrics.catalogue import NOWHERE, REQUEST_SECONDS, REQUESTS, STATIC
from idp.tracing import Kind, Span
from idp.web import browser, declarations
from idp.web.endpoints import Endpoint, add_route, compress
from idp.web.http import MAX_UPLOAD, Request, Response, answering, current_request
from idp.web.request_context import new_id, read_forwarded

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Check = Callable[[Request], None]  # what is done before a request is answered: it may raise an error
Answer = Callable[[Request], Response | None]  # answers a request, or leaves it to Flask by returning None
Observe = Callable[[Request, Response], None]
Headers = list[tuple[str, str]]
ARRIVING_SECONDS = 3.0
"""How long a person who arrives waits for a thread, and then sees « affluence »: a sign-in has three such waits."""
UNDERWAY_SECONDS = 6.0
"""How long a person waits who has a session, or sent a form that would have to be filled in again."""
PROGRAM_SECONDS = 20.0
"""How long programs wait, most of which have given up then: an ENT redeems a code that is paid for already, and a
refused code costs the service another sign-on."""
MOST_PEOPLE = 256
"""How many requests of people wait for the threads of a worker, at most: those of two or three seconds."""
MOST_OF_GROUP = 128
"""How many of them come from one network, at most: others find room behind them. As many of programs wait beside."""

_MAX_METHOD = 20
_CLASSES = ("", "", "2xx", "3xx", "4xx", "5xx")
_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT"})

log = structlog.get_logger()


class Door:
    """The WSGI application of the service.

    Attributes:
        pages: The WSGI application of static files and Flask.
        files: The paths of the static files.
        protect: Returns the headers of a response to a path with the security headers.
        compresses: Whether pages are compressed for browsers without a session; see `idp.web.endpoints.compress`.
        network_of: Returns the network that has a share of the queue, by an IP.
        overloaded: Answers a request of an overloaded service, from memory.
        nowhere: Answers a person without a session whose path no page has, from memory; by default, Flask does.
        admits_files: Decides whether the long body of a form with files is received: by default, none is.
    """

    def __init__(self, app: Flask, settings: Settings) -> None:
        self.pages: WSGIApplication = app.wsgi_app
        self.files: Container[str] = ()
        self.protect: Callable[[str, Headers], Headers] = lambda _path, headers: headers
        self.network_of: Callable[[str], str] = lambda ip: ip
        self.overloaded: Callable[[Request], Response] = lambda _request: Response(status=503)
        self.nowhere: Answer | None = None
        self.compresses = True
        self.admits_files: Callable[[Request], bool] = lambda _request: False
        self._app = app
        self._declared = declarations.of(app)
        self._proxies = settings.trusted_proxies
        self._logged = settings.log_level in {"DEBUG", "INFO"}
        self._answers: dict[tuple[str, str], tuple[str, Answer]] = {}
        self._in_memory: set[tuple[str, str]] = set()
        self._sign_in_pages: set[str] = set()
        self._observers: dict[tuple[str, str], Observe] = {}
        self._session_cookies = browser.cookie_name(settings, "ss"), browser.cookie_name(settings, "ds")
        self._checks: list[Check] = []
        app.before_request(_note_endpoint)

    def before(self, check: Check) -> None:
        """Add a check of all requests, those to pages too. Checks run in the order in which they were added."""
        self._checks.append(check)
        self._app.before_request(lambda: check(current_request()))

    def add(self, blueprint: Blueprint, endpoints: Sequence[Endpoint]) -> None:
        """Add the endpoints to a blueprint, whose other requests Flask answers, and to the door."""
        for endpoint in endpoints:
            add_route(blueprint, endpoint)
            for method in endpoint.methods:
                self._answers[method, endpoint.path] = f"{blueprint.name}.{endpoint.name}", endpoint.function
                if endpoint.observe:
                    self._observers[method, endpoint.path] = endpoint.observe
                if endpoint.is_in_memory:
                    self._in_memory.add((method, endpoint.path))

    def add_page(self, path: str, name: str, show: Answer) -> None:
        """Add the plain case of a sign-in page; it has its route and its view, `name`, in Flask."""
        self.add_in_memory(path, name, lambda request: self._compress(request, show(request)))
        self._sign_in_pages.add(path)

    def add_in_memory(self, path: str, name: str, answer: Answer) -> None:
        """Add what answers the GETs of a path, mostly from memory; it has its route and its view, `name`, in Flask."""
        self._answers["GET", path] = name, answer
        self._in_memory.add(("GET", path))

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request (PEP 3333), as `idp serve` does: from memory if that is enough."""
        request = Request(environ)
        if request.method == "POST" and self.takes_files(request) and self.may_upload(request):
            request.max_body = MAX_UPLOAD
        response = self.answer_at_once(request) or self.answer(request)
        return response(environ, start_response)

    def answer_at_once(self, request: Request) -> Response | None:
        """Return the response if it needs nothing but the memory of this process, and None otherwise."""
        is_in_memory = (request.method, request.path) in self._in_memory or self._is_nowhere(request)
        if not is_in_memory or self._has_session(request):
            return None
        try:
            with waiting.without_waiting():
                return self.answer(request)
        except waiting.WouldWaitError:
            return None

    def is_for_people(self, request: Request) -> bool:
        """Return whether a person reads the answer."""
        return self._declared.is_for_people(request.path)

    def is_probe(self, request: Request) -> bool:
        """Return whether a request asks whether the service and its database work, which a flood must not delay."""
        return request.path in self._declared.probes and ("GET", request.path) not in self._in_memory

    def patience(self, request: Request) -> float:
        """Return how many seconds a request may wait for a thread before it is shed."""
        if self.is_probe(request):
            return math.inf
        if not self.is_for_people(request):
            return PROGRAM_SECONDS
        is_form = request.method == "POST" and request.path not in self._sign_in_pages
        return UNDERWAY_SECONDS if is_form or self._has_session(request) else ARRIVING_SECONDS

    def shares(self, request: Request) -> dict[str, int]:
        """Return the groups of a request that waits for a thread, and how many requests of each may wait.

        All programs are one group: everybody can send what they send. People are grouped by their network, where
        declared proxies tell it.
        """
        if not self.is_for_people(request):
            return {"programs": MOST_OF_GROUP}
        shares = {"people": MOST_PEOPLE}
        if self._proxies:
            read_forwarded(request, self._proxies)
            shares[self.network_of(request.remote_ip)] = MOST_OF_GROUP
        return shares

    def shed(self, request: Request) -> Response:
        """Return the response of an overloaded service, from memory."""
        known = self._answers.get((request.method, request.path)) or self._answers.get(("GET", request.path))
        request.endpoint = known[0] if known else None
        return self._answered(request, partial(self._in_context, self.overloaded))

    def refuse(self, request: Request, status: int) -> Response:
        """Return the page of a request that a limit refuses, from memory."""
        return self._answered(request, partial(self._in_context, partial(self._handle, default_exceptions[status]())))

    def takes_files(self, request: Request) -> bool:
        """Return whether a request is a form with files, for a page that takes such forms."""
        request.takes_files = request.path in self._declared.taking_files
        return request.has_files

    def may_upload(self, request: Request) -> bool:
        """Return whether the body of a form with files may be longer than that of other forms."""
        with self._app.app_context(), answering(request):
            try:
                return self.admits_files(request)
            except Exception:  # the answer to the request will fail as well, and say so
                log.exception("an upload was not judged")
                return False

    def answer(self, request: Request) -> Response:
        """Return the response to a request."""
        return self._answered(request, self._respond)

    def _answered(self, request: Request, respond: Callable[[Request], Response]) -> Response:
        start = perf_counter()
        request.takes_files = request.path in self._declared.taking_files
        if self._proxies:
            read_forwarded(request, self._proxies)
        request.id = request.id or new_id()
        parent = request.header("traceparent") if self._proxies else ""
        with Span("request", Kind.SERVER, parent) as span:
            response = self._answer_in(span, request, respond)
        for name, (value, options) in request.kept_cookies.items():
            response.set_cookie(name, value, **options)
        response.headers = self.protect(request.path, response.headers)
        self._note(request, response, perf_counter() - start)
        return response

    def _answer_in(self, span: Span, request: Request, respond: Callable[[Request], Response]) -> Response:
        request.trace_id = span.trace_id
        bind_contextvars(request_id=request.id, **({"trace_id": span.trace_id} if span.trace_id else {}))
        try:
            with answering(request):
                response = respond(request)
        finally:
            unbind_contextvars("request_id", "trace_id")
        method = request.method if request.method in _METHODS else "_OTHER"  # as OpenTelemetry names it
        span.name = f"{method} {request.endpoint or 'none'}"
        span.attributes = {"http.response.status_code": response.status, "idp.request_id": request.id}
        span.error = str(response.status) if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR else ""
        return response

    def _note(self, request: Request, response: Response, seconds: float) -> None:
        endpoint = request.endpoint or (STATIC if request.path.startswith(declarations.STATIC) else NOWHERE)
        REQUESTS.count(endpoint, _CLASSES[response.status // 100])
        REQUEST_SECONDS.observe(seconds, endpoint)
        if observe := self._observers.get((request.method, request.path)):
            observe(request, response)
        is_unlogged = request.path in self._declared.probes or request.path.startswith(declarations.STATIC)
        if self._logged and not is_unlogged:
            _write_line(request, response.status, seconds)

    def _has_session(self, request: Request) -> bool:
        """Return whether a request has the cookie of a session, or of a device session, which may open one."""
        return any(name in request.header("Cookie") for name in self._session_cookies)

    def _compress(self, request: Request, response: Response | None) -> Response | None:
        if response is None or not self.compresses or self._has_session(request) or request.names_people:
            return response
        return compress(request, response)

    def _respond(self, request: Request) -> Response:
        name, function = self._answers.get((request.method, request.path), (None, None))
        if function is None and self._is_nowhere(request):
            function = self.nowhere
        if function is not None:
            request.endpoint = name
            response = self._ask_endpoint(function, request)
            if response is not None:
                return response
        return self._ask_pages(request)

    def _ask_endpoint(self, function: Answer, request: Request) -> Response | None:
        with self._app.app_context():
            try:
                for check in self._checks:
                    check(request)
                response = function(request)
                refuse_unwritten_changes()
                if response is not None:
                    browser.save(request, response)
            except Exception as error:  # noqa: BLE001 - Flask's handlers decide about all errors
                waiting.refuse()  # most are pages, which take long to render
                return self._handle(error, request)
            return response

    def _is_nowhere(self, request: Request) -> bool:
        """Return whether a person without a session asks for a path that no page and no file has."""
        is_ours = self.nowhere is None or (request.method, request.path) in self._answers or request.path in self.files
        if is_ours or self._declared.is_for_programs(request.path) or self._has_session(request):
            return False
        return not self._app.url_map.bind("").allowed_methods(request.path)

    def _in_context(self, answer: Callable[[Request], Response], request: Request) -> Response:
        with self._app.app_context():
            return answer(request)

    def _handle(self, error: Exception, request: Request) -> Response:
        with self._app.request_context(request.for_flask()):
            request.endpoint = request.endpoint or flask_request.endpoint
            response = self._app.make_response(self._app.handle_user_exception(error))
            return Response(response.get_data(), response.status_code, response.headers.to_wsgi_list())

    def _ask_pages(self, request: Request) -> Response:
        waiting.refuse()  # a page may need any statement, and takes long to render
        started: list[Any] = []

        def start_response(status: str, headers: Headers, _exc_info: Any = None) -> Any:
            started[:] = status, headers  # the last call counts: an error page replaces what was begun

        parts = self.pages(request.for_flask(), start_response)
        try:
            body = b"".join(parts)
        finally:
            if hasattr(parts, "close"):
                parts.close()
        status, headers = started
        response = Response(body, int(status[:3]), headers)
        self._compress(request, response)
        return response


def _write_line(request: Request, status: int, seconds: float) -> None:
    """Write the line of a request in the log, as JSON.

    The path may have a secret (links of mails) and the IP is in the journal: neither is logged. The line does not pass
    through structlog, which would double its cost.
    """
    trace = {"trace_id": request.trace_id} if request.trace_id else {}
    line = {
        "event": "request",
        "request_id": request.id,
        **trace,
        "method": request.method[:_MAX_METHOD],
        "endpoint": request.endpoint,
        "status": status,
        "ms": round(seconds * 1000, 1),
        "level": "info",
        "timestamp": stamp(now()),
    }
    write(json.dumps(line))


def _note_endpoint() -> None:
    current_request().endpoint = flask_request.endpoint
