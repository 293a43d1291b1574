"""Session management (OpenID Connect Session Management 1.0): an ENT's page asks a frame whether the session changed.

The frame compares the `session_state` of the ENT with the present browser state (`idp.sessions.browser_state`). If the
browser blocks cookies in frames of other sites, the frame answers `error`. After `changed`, the ENT would send requests
with `prompt=none` endlessly (3.1).
"""

import hashlib

from flask import Blueprint, Response, make_response, render_template

from idp import opaque, origins
from idp.sessions import browser_state
from idp.web.declarations import for_other_sites

_SALT_LENGTH = 16
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors *"
    ),
    # a cross-origin isolated page may only frame pages with this header
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "public, max-age=3600",
}


def of(state: str, client_id: str, redirect_uri: str) -> str:
    """Return the `session_state` of a response (2): client, origin and browser state, hashed with a salt."""
    salt = opaque.new_value()[:_SALT_LENGTH]
    text = f"{client_id} {origins.of(redirect_uri)} {state} {salt}"
    return f"{hashlib.sha256(text.encode()).hexdigest()}.{salt}"


@for_other_sites
def check_session() -> Response:
    """Return the page for the frames of ENTs (3.2), which is the same for everybody."""
    response = make_response(render_template("oidc/session.html", cookie=browser_state.name()))
    response.headers.update(_HEADERS)
    return response


def add_routes(blueprint: Blueprint) -> None:
    """Register the page."""
    blueprint.add_url_rule("/session/check", "check_session", check_session)
