"""Endpoints of the protocol, without a web framework, and the pages that they show: errors, forms for a script.

The door (`idp.web.door`) calls endpoints by exact method and path. Flask has their routes too, for the requests
that the door leaves to it: `HEAD`, `OPTIONS`, other methods and other spellings of a path.
"""

import re
import secrets
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps

from flask import Blueprint, current_app, has_request_context, render_template
from markupsafe import escape

from idp.services import services
from idp.web import i18n, languages
from idp.web.http import Request, Response, answering, current_request
from idp.web.redirects import shown_page
from idp.web.request_context import request_id

Function = Callable[[Request], Response]


@dataclass(frozen=True)
class Endpoint:
    """One endpoint.

    `options` says that Flask answers OPTIONS, and `is_in_memory` that the memory of the process is enough for most
    requests without a session. `observe` is given each request with its response, for the metrics.
    """

    path: str
    name: str
    function: Function
    methods: tuple[str, ...]
    options: bool = True
    is_in_memory: bool = False
    observe: Callable[[Request, Response], None] | None = None


def add_route(blueprint: Blueprint, endpoint: Endpoint) -> None:
    """Add the route of an endpoint to a blueprint."""
    blueprint.add_url_rule(
        endpoint.path,
        endpoint.name,
        _view(endpoint.function),
        methods=list(endpoint.methods),
        provide_automatic_options=None if endpoint.options else False,
    )


def _view(function: Function) -> Callable[[], Response]:
    @wraps(function)
    def view() -> Response:
        return function(current_request())

    return view


_HTML = "text/html; charset=utf-8"
_QUERY, _RETRY, _REFERENCE = (f"mark{secrets.token_hex(16)}" for _ in range(3))
"""What stands in rendered pages for the query of their links, for the link to try again, and for the reference."""


def render(template: str, *, status: int = 200, **context: object) -> Response:
    """Return a page. Templates need Flask's request, which an endpoint of the protocol does not have."""
    if has_request_context():
        html = render_template(template, **context)
    else:
        with current_app.request_context(current_request().for_flask()):
            html = render_template(template, **context)
    return Response(html, status, content_type=_HTML)


def from_memory(template: str, status: int, **context: object) -> Response:
    """Return the page of a refused request, which has the query and the id of the request, and nothing else of it.

    It is rendered once for each language and `context`, of which few may occur: many ask while the processor is full.
    """
    language, rendered = i18n.language(), services().refused_pages
    key = language, template, *context.items()
    page = rendered.get(key) or rendered.setdefault(key, _render_for_stranger(language, template, context))
    for mark, make in ((_QUERY, languages.kept_query), (_RETRY, shown_page), (_REFERENCE, request_id)):
        if mark in page:
            page = page.replace(mark, escape(make()))
    return Response(page, status, content_type=_HTML)


def _render_for_stranger(language: str, template: str, context: dict[str, object]) -> str:
    """Render a page in a context of its own: those of the desk name who is signed in."""
    app = current_app._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 - as Flask documents it
    with (
        app.app_context(),
        app.test_request_context(query_string={languages.NAME: language}) as stranger,
        answering(Request(stranger.request.environ)),
        languages.keeping(_QUERY),
    ):
        return render_template(template, dest=None, is_error=True, retry_url=_RETRY, reference=_REFERENCE, **context)


_LEAST = 1024  # bytes of a body that fit into one packet anyway
_LEVEL, _WINDOW, _MEMORY = 3, 14, 6
"""A third of the time that zlib takes with its defaults, most of which is to clear its memory."""
_GZIP = 16  # what zlib adds to the size of the window for the format gzip
_REPLACED = frozenset({"content-length", "vary"})
_ACCEPTED = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE)


def compress(request: Request, response: Response) -> Response:
    """Compress the body of a page in place, if the browser accepts gzip (RFC 9110 12.5.3); return the response.

    The length of a compressed page tells whether a text that an attacker put into it occurs in it a second time
    (BREACH). Such an attack needs the cookies of the person and a page with a secret. So the caller checks that the
    request has no session. On other pages the only secret is the form token, whose signature is another in each second.
    Responses of other types, and short ones, stay as they are.
    """
    if len(response.body) < _LEAST or not _ACCEPTED.search(request.header("Accept-Encoding")):
        return response
    given = {name.lower(): value for name, value in response.headers}
    if not given.get("content-type", "").startswith("text/html") or "content-encoding" in given:
        return response
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP + _WINDOW, _MEMORY)
    response.body = packer.compress(response.body) + packer.flush()
    varying = ", ".join(filter(None, (given.get("vary", ""), "Accept-Encoding")))
    response.headers = [
        *(pair for pair in response.headers if pair[0].lower() not in _REPLACED),
        ("Content-Encoding", "gzip"),
        ("Content-Length", str(len(response.body))),
        ("Vary", varying),
    ]
    return response
