"""The door before Flask: it answers requests to endpoints of the protocol, and leaves all others to Flask.

An endpoint gets the same limits, origin for the journal, cookie and error pages as a page of Flask; only the request
context, the matching of routes and the hooks of extensions are left out, which cost more than the endpoint's own work.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from flask import Blueprint, Flask
from werkzeug.wrappers import Response as WerkzeugResponse

from idp.db import refuse_unwritten_changes
from idp.web import browser
from idp.web.door.endpoints import Endpoint, add_route
from idp.web.http import AnyResponse, Request, Response, answering, current_request
from idp.web.request_context import ENDPOINT

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Check = Callable[[Request], None]
"""What is done before a request is answered: it may raise an error."""


Answer = Callable[[Request], Response | None]
"""Answers a request, or leaves it to Flask by returning None."""


class Door:
    """The WSGI application that chooses between the endpoints and `pages`, the application of Flask."""

    def __init__(self, app: Flask, pages: "WSGIApplication") -> None:
        self._app = app
        self._pages = pages
        self._answers: dict[tuple[str, str], tuple[str, Answer]] = {}
        self._checks: list[Check] = []

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

    def add_page(self, path: str, name: str, function: Answer) -> None:
        """Add the plain case of a page, which has its route and its view, `name`, in Flask."""
        self._answers["GET", path] = name, function

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        name, function = self._answers.get((environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")), ("", None))
        if function is None:
            return self._pages(environ, start_response)
        environ[ENDPOINT] = name
        response = self._answer(function, Request(environ))
        return self._pages(environ, start_response) if response is None else response(environ, start_response)

    def _answer(self, function: Answer, request: Request) -> AnyResponse | None:
        with self._app.app_context(), answering(request):
            try:
                for check in self._checks:
                    check(request)
                response = function(request)
                refuse_unwritten_changes()
                if response is not None:
                    browser.save(self._app, request, response)
            except Exception as error:  # noqa: BLE001 - Flask's handlers decide about all errors
                return self._error(error, request)
            return response

    def _error(self, error: Exception, request: Request) -> WerkzeugResponse:
        with self._app.request_context(request.environ):
            return self._app.make_response(self._app.handle_user_exception(error))
