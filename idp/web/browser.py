"""The browser cookie: it binds forms and authorization requests to a browser, before any sign-in.

It is Flask's signed session cookie, with a random value and the CSRF token; it identifies no person. Endpoints for
programs do not read it. Over http, in development only, its name has no `__Host-` prefix, which browsers would refuse.
"""

import hashlib
import hmac
import os
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, cast

from flask import Flask, current_app
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from itsdangerous import BadData, URLSafeTimedSerializer

from idp import opaque
from idp.config import Settings
from idp.web import declarations
from idp.web.http import Request, Response, current_request

_MAX_ANSWERED = 12
_TOKEN = "csrf_token"  # noqa: S105 - the name in the cookie


class _NoSession(SecureCookieSession):
    """The session of endpoints that do not read the cookie; it is not saved."""


class _LazySession(SessionMixin):
    """A session that verifies and reads its cookie at its first use."""

    def __init__(self, app: Flask, request: Request) -> None:
        self._app = app
        self._request = request
        self.opened: SecureCookieSession | None = None

    def _open(self) -> SecureCookieSession:
        if self.opened is None:
            self.opened = _interface(self._app).read(self._app, self._request)
        return self.opened

    def __getitem__(self, key: str) -> Any:
        return self._open()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._open()[key] = value

    def __delitem__(self, key: str) -> None:
        del self._open()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._open())

    def __len__(self) -> int:
        return len(self._open())


class _BrowserSessionInterface(SecureCookieSessionInterface):
    """Opens the browser cookie, except at endpoints for programs."""

    def open_session(self, app: Flask, request: Any) -> SessionMixin:  # type: ignore[override] # not a SecureCookieSession
        path = request.path
        if declarations.of(app).is_for_programs(path) or path.startswith(declarations.NAMESPACES):
            return _NoSession()
        return _session_of(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Any) -> None:
        if isinstance(session, _LazySession) and session.opened is not None:
            super().save_session(app, session.opened, response)

    def read(self, app: Flask, request: Any) -> SecureCookieSession:
        """Return the content of the cookie; empty if it is missing or invalid."""
        return super().open_session(app, request) or _NoSession()


def _interface(app: Flask) -> _BrowserSessionInterface:
    return cast("_BrowserSessionInterface", app.session_interface)


def _session_of(app: Flask, request: Any) -> _LazySession:
    """Return the session of a request. Flask's request and ours share it."""
    own = request if isinstance(request, Request) else current_request()
    if own.browser_session is None:
        own.browser_session = _LazySession(app, own)
    session: _LazySession = own.browser_session
    return session


def _session() -> _LazySession:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 - Flask documents it
    return _session_of(app, current_request())


def save(app: Flask, request: Request, response: Response) -> None:
    """Write the browser cookie of `request` to `response`, if it was read or changed."""
    session = request.browser_session
    if session is not None and session.opened is not None:
        carrier = app.response_class()
        app.session_interface.save_session(app, session, carrier)
        response.headers += [("Set-Cookie", cookie) for cookie in carrier.headers.getlist("Set-Cookie")]


def cookie_name(settings: Settings, name: str) -> str:
    """Return the full name of a cookie, with the `__Host-` prefix over https (RFC 6265bis 4.1.3.2)."""
    return f"__Host-{name}" if settings.https else f"idp-{name}"


def cookie_options(settings: Settings) -> dict[str, Any]:
    """Return the attributes of all cookies of this service (security row B-01)."""
    return {"path": "/", "secure": settings.https, "httponly": True, "samesite": "Lax"}


def configure(app: Flask, settings: Settings) -> None:
    """Configure the browser cookie of `app`."""
    app.session_interface = _BrowserSessionInterface()
    app.config.update(
        SECRET_KEY=opaque.derive_key(settings.secrets[0], "browser cookie"),
        SECRET_KEY_FALLBACKS=[opaque.derive_key(s, "browser cookie") for s in settings.secrets[1:]],
        SESSION_COOKIE_NAME=cookie_name(settings, "tx"),
        SESSION_COOKIE_SECURE=settings.https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
        PERMANENT_SESSION_LIFETIME=settings.interaction_lifetime,
    )


def binding() -> str:
    """Return the random value of this browser; create it at the first call."""
    session = _session()
    value = session.get("b")
    if not isinstance(value, str):
        value = session["b"] = opaque.new_value()
        session.permanent = True
    return value


def note_answered(name: str) -> None:
    """Store in the browser cookie that the request `name` was answered. The last twelve are kept."""
    names = [answered for answered in _answered() if answered != name]
    _session()["d"] = [name, *names][:_MAX_ANSWERED]


def was_answered(name: str) -> bool:
    """Return whether the browser cookie says that the request `name` was answered."""
    return name in _answered()


def _answered() -> list[str]:
    names = _session().get("d")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def form_token() -> str:
    """Return the CSRF token of this browser, in the form that Flask-WTF checks.

    Its own `generate_csrf` needs Flask's request, which the endpoints of the door do not have.
    """
    session = _session()
    if _TOKEN not in session:
        session[_TOKEN] = hashlib.sha1(os.urandom(64)).hexdigest()  # noqa: S324 - random, as Flask-WTF makes it
    signed: str = _token_serializer(*current_app.config["WTF_CSRF_SECRET_KEY"]).dumps(session[_TOKEN])
    return signed


def has_form_token(request: Request) -> bool:
    """Return whether a form has the CSRF token of its browser, by the rules of Flask-WTF."""
    expected, token = _session().get(_TOKEN), request.fields.get(_TOKEN)
    if not token or not isinstance(expected, str):
        return False
    config = current_app.config
    try:
        opened = _token_serializer(*config["WTF_CSRF_SECRET_KEY"]).loads(token, max_age=config["WTF_CSRF_TIME_LIMIT"])
    except BadData:
        return False
    return isinstance(opened, str) and hmac.compare_digest(expected.encode(), opened.encode())


@lru_cache(maxsize=8)
def _token_serializer(*keys: bytes) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(list(keys), salt="wtf-csrf-token")


def renew_form_token() -> None:
    """Remove the CSRF token, so that forms from before a sign-in are refused (security row I-12)."""
    _session().pop(_TOKEN, None)
