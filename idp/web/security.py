"""Headers of every answer, limits of every request, and the token that proves that a form is ours."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask, request
from flask_wtf import CSRFProtect
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, RequestURITooLarge, UnsupportedMediaType

from idp import opaque
from idp.config import Settings
from idp.web import declarations
from idp.web.declarations import Declarations

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MAX_BODY = 64 * 1024
MAX_FIELDS = 50
MAX_COOKIES = 16 * 1024
MAX_QUERY = 16 * 1024

csrf = CSRFProtect()

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; font-src 'self'; script-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""What a page may do. All but those that lead to an ENT also send forms to this service alone."""

_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=()"),
)
_PRIVATE = (("Cross-Origin-Resource-Policy", "same-origin"), ("Cache-Control", "no-store"))
_REPLACED = frozenset({"cache-control"})
_REPLACED_ON_PAGES = frozenset({"cache-control", "vary"})
_CSP = "content-security-policy"


def _limit() -> None:
    """Refuse what no page sends, before anything is parsed: long queries, heaps of cookies or of fields."""
    if len(request.query_string) > MAX_QUERY:
        raise RequestURITooLarge
    if len(request.headers.get("Cookie", "")) > MAX_COOKIES:
        raise RequestEntityTooLarge
    if request.mimetype == "multipart/form-data" and not declarations.is_called_by_program():
        raise UnsupportedMediaType  # no page sends files, and no parser has to open any
    if request.method == "POST" and _read().count(b"&") > MAX_FIELDS:
        raise RequestEntityTooLarge


def _read() -> bytes:
    """Return the body of the request; one that breaks the rules of HTTP is its sender's fault and not ours."""
    try:
        return request.get_data()
    except ParseException as fault:
        raise BadRequest from fault


def configure(app: Flask, settings: Settings) -> None:
    """Set limits, headers and form tokens up on `app`."""
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY,
        MAX_FORM_MEMORY_SIZE=MAX_BODY,
        MAX_FORM_PARTS=MAX_FIELDS,
        # Flask-WTF knows no fallbacks of its own; itsdangerous reads with all of a list and writes with its last
        WTF_CSRF_SECRET_KEY=[opaque.derive_key(secret, "form token") for secret in reversed(settings.secrets)],
        WTF_CSRF_TIME_LIMIT=settings.interaction_lifetime,
        WTF_CSRF_SSL_STRICT=False,  # it wants a Referer, and our own policy tells browsers to send none
    )
    app.before_request(_limit)  # first: who checks a form's token parses it
    csrf.init_app(app)
    fixed = list(_HEADERS)
    if settings.https:
        fixed.append(("Strict-Transport-Security", "max-age=31536000; includeSubDomains"))

    app.wsgi_app = _Protected(app.wsgi_app, fixed, declarations.of(app))  # type: ignore[method-assign]


class _Protected:
    """Adds the headers that every answer has, as it leaves: werkzeug's own lists would take a sign-on longer."""

    def __init__(self, app: "WSGIApplication", fixed: Iterable[tuple[str, str]], declared: Declarations) -> None:
        self._app = app
        self._fixed = tuple(fixed)
        self._declared = declared

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = f"/{environ.get('PATH_INFO', '').lstrip('/')}"  # as werkzeug reads it

        def protect(line: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(line, self._protected(path, headers), *rest)

        return self._app(environ, protect)

    def _protected(self, path: str, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the headers of an answer with those that protect it. What is not public is stored by nobody."""
        ours = [*self._fixed]
        given = {name.lower(): value for name, value in headers}
        if given.get("content-type", "").startswith("text/html") and _CSP not in given:
            leaves = path in self._declared.leading_to_ent
            ours.append(("Content-Security-Policy", POLICY if leaves else f"{POLICY}; form-action 'self'"))
        if path.startswith(self._declared.for_other_sites):
            return [*headers, *ours, ("Cross-Origin-Resource-Policy", "cross-origin")]
        ours += _PRIVATE
        replaced = _REPLACED
        if not self._declared.is_for_programs(path):
            ours.append(("Vary", _with_cookie(given.get("vary", ""))))
            replaced = _REPLACED_ON_PAGES
        return [*(pair for pair in headers if pair[0].lower() not in replaced), *ours]


def _with_cookie(vary: str) -> str:
    """Return `vary` with the name of the header that every page depends on (RFC 9110 12.5.5)."""
    if not vary:
        return "Cookie"
    return vary if "cookie" in vary.lower() else f"{vary}, Cookie"
