"""The cookie that stands for a browser before anybody signed in: forms and requests in progress are bound to it.

It holds a random value and the form token, signed (Flask's own session machinery), and names nobody. Protocol
endpoints do not
read it. Over plain http, which only development allows, browsers refuse the `__Host-` prefix: the names are shorter
there.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from flask import Flask, Request, Response, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin

from idp import opaque
from idp.config import Settings
from idp.web import declarations

_MOST_ANSWERED = 12


class _NoSession(SecureCookieSession):
    """Stands where no cookie is read; nothing written to it is kept."""


class _LazySession(SessionMixin):
    """A session whose cookie is opened, its signature checked, when somebody first asks for something in it."""

    def __init__(self, read: Callable[[], SecureCookieSession]) -> None:
        self._read = read
        self.opened: SecureCookieSession | None = None

    def _open(self) -> SecureCookieSession:
        if self.opened is None:
            self.opened = self._read()
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
    """Flask's signed cookie, absent from the endpoints that no browser page uses."""

    def open_session(self, app: Flask, request: Request) -> SessionMixin:  # type: ignore[override] # ours opens later
        path = request.path
        if declarations.of(app).is_for_programs(path) or path.startswith(declarations.NAMESPACES):
            return _NoSession()
        return _LazySession(partial(self._read, app, request))

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if isinstance(session, _LazySession) and session.opened is not None:
            super().save_session(app, session.opened, response)

    def _read(self, app: Flask, request: Request) -> SecureCookieSession:
        return super().open_session(app, request) or _NoSession()


def cookie_name(settings: Settings, name: str) -> str:
    """Return the cookie's full name: with the prefix that browsers enforce over https (RFC 6265bis 4.1.3.2)."""
    return f"__Host-{name}" if settings.https else f"idp-{name}"


def cookie_options(settings: Settings) -> dict[str, Any]:
    """Return the attributes that every cookie of this service has (security rows B-01)."""
    return {"path": "/", "secure": settings.https, "httponly": True, "samesite": "Lax"}


def configure(app: Flask, settings: Settings) -> None:
    """Set the browser cookie up on `app`."""
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
    """Return this browser's random value, made at the first need: what is bound to it opens in no other browser."""
    value = session.get("b")
    if not isinstance(value, str):
        value = session["b"] = opaque.new_value()
        session.permanent = True
    return value


def note_answered(name: str) -> None:
    """Remember in this browser's cookie that the request `name` was answered; the last few are kept."""
    names = [kept for kept in _answered() if kept != name]
    session["d"] = [name, *names][:_MOST_ANSWERED]


def was_answered(name: str) -> bool:
    """Return whether this browser remembers that the request `name` was answered."""
    return name in _answered()


def _answered() -> list[str]:
    names = session.get("d")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def renew_form_token() -> None:
    """Forget the form token: after a sign-in, forms of before are dead (security row I-12)."""
    session.pop("csrf_token", None)
