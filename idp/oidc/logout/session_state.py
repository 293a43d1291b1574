"""Session management (OpenID Connect Session Management 1.0): an ENT's page asks ours whether somebody signed out.

The page compares what the ENT was told with the state that the browser has now (`idp.sessions.browser_state`). Where
browsers keep cookies from frames of other sites it cannot know, and answers `error`: at `changed`, an ENT would ask
with `prompt=none` again and again (3.1).
"""

import hashlib
from urllib.parse import urlsplit

from flask import Blueprint, Response, make_response, render_template

from idp import opaque
from idp.sessions import browser_state
from idp.web.declarations import for_other_sites

_SALT_LENGTH = 16
_USUAL_PORTS = {"https": ":443", "http": ":80"}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors *"
    ),
    # an ENT's page that isolates itself may only frame what does the same
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "public, max-age=3600",
}


def of(state: str, client_id: str, redirect_uri: str) -> str:
    """Return the `session_state` of an answer (2): client, origin and the browser's `state`, hashed with a salt."""
    salt = opaque.new_value()[:_SALT_LENGTH]
    text = f"{client_id} {_origin(redirect_uri)} {state} {salt}"
    return f"{hashlib.sha256(text.encode()).hexdigest()}.{salt}"


def _origin(uri: str) -> str:
    """Return the origin of an address as browsers write it (RFC 6454 6.2): a port only if it is not the usual one."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2].lower()
    return f"{parts.scheme}://{host.removesuffix(_USUAL_PORTS.get(parts.scheme, ':'))}"


@for_other_sites
def check_session() -> Response:
    """Serve the page that ENTs put into a frame (3.2); the same for everybody, it holds nothing."""
    response = make_response(render_template("oidc/session.html", cookie=browser_state.name()))
    response.headers.update(_HEADERS)
    return response


def add_routes(blueprint: Blueprint) -> None:
    """Register the page for frames."""
    blueprint.add_url_rule("/session/check", "check_session", check_session)
