"""Headers of every answer, limits of every request, and the token that proves that a form is ours."""

from flask import Flask, Response, request
from flask_wtf import CSRFProtect
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, RequestURITooLarge, UnsupportedMediaType

from idp import opaque
from idp.config import Settings
from idp.web.browser import is_back_channel

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
# Chromium applies form-action to the whole redirect chain that follows a form, up to wherever the ENT redirects in
# turn: pages whose form can end at an ENT leave it out, all others keep it.
MAY_LEAVE = frozenset({"/profil", "/connexion", "/charte", "/authorize/accord", "/logout", "/adresse/confirmation"})
_PUBLIC = ("/.well-known/", "/jwks.json", "/openapi.json", "/static/", "/session/check")


def _limit() -> None:
    """Refuse what no page sends, before anything is parsed: long queries, heaps of cookies or of fields."""
    if len(request.query_string) > MAX_QUERY:
        raise RequestURITooLarge
    if len(request.headers.get("Cookie", "")) > MAX_COOKIES:
        raise RequestEntityTooLarge
    if request.mimetype == "multipart/form-data" and not is_back_channel(request.path):
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

    @app.after_request
    def protect(response: Response) -> Response:
        headers = response.headers
        headers.extend(fixed)
        if response.mimetype == "text/html":
            policy = POLICY if request.path in MAY_LEAVE else f"{POLICY}; form-action 'self'"
            headers.setdefault("Content-Security-Policy", policy)
        if request.path.startswith(_PUBLIC):
            headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        else:
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
            headers["Cache-Control"] = "no-store"
            if not is_back_channel(request.path):
                response.vary.add("Cookie")
        return response
