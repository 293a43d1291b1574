"""Session management (OpenID Connect Session Management 1.0): an ENT's page asks ours whether somebody signed out.

The browser's state is drawn from the `sid` of its session under a key of this service's own, in a cookie that scripts
and frames may read: that is what it is for, and why it is neither `HttpOnly` nor `SameSite=Lax`. It opens nothing,
names nobody, and cannot be turned back into the session. Browsers that keep cookies from frames of other sites answer
`changed` or `error` for ever: an ENT then asks with `prompt=none`.
"""

import hashlib
from urllib.parse import urlsplit

from flask import Blueprint, Response, current_app, make_response, render_template, request

from idp import opaque
from idp.config import Settings
from idp.web.browser import cookie_name

_SALT_LENGTH = 16
_POLICY = "default-src 'none'; script-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors *"


def of(sid: str, client_id: str, redirect_uri: str) -> str:
    """Return the `session_state` of an answer (2): client, origin and the browser's state, hashed with a salt."""
    salt = opaque.new_value()[:_SALT_LENGTH]
    parts = urlsplit(redirect_uri)
    text = f"{client_id} {parts.scheme}://{parts.netloc} {_browser_state(sid)} {salt}"
    return f"{hashlib.sha256(text.encode()).hexdigest()}.{salt}"


def keep(response: Response, sid: str) -> None:
    """Give the browser its state, unless it has it."""
    settings, state = _settings(), _browser_state(sid)
    name = cookie_name(settings, "bs")
    if request.cookies.get(name) != state:
        # `Secure` also over plain http: browsers take it from loopback, which is all that plain http is for
        response.set_cookie(name, state, path="/", secure=True, httponly=False, samesite="None")


def forget(response: Response) -> None:
    """Take the browser's state away: every ENT that asks is told that something changed."""
    response.delete_cookie(cookie_name(_settings(), "bs"), path="/", secure=True, httponly=False, samesite="None")


def check_session() -> Response:
    """Serve the page that ENTs put into a frame (3.2); the same for everybody, it holds nothing."""
    response = make_response(render_template("oidc/session.html", cookie=cookie_name(_settings(), "bs")))
    response.headers["Content-Security-Policy"] = _POLICY
    return response


def _browser_state(sid: str) -> str:
    return opaque.keyed_value(opaque.derive_key(_settings().secrets[0], "browser state"), sid)


def _settings() -> Settings:
    settings: Settings = current_app.extensions["idp.settings"]
    return settings


def add_routes(blueprint: Blueprint) -> None:
    """Register the page for frames."""
    blueprint.add_url_rule("/session/check", "check_session", check_session)
