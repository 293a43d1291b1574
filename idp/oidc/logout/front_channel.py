"""Tells the ENTs through the browser that its session ended.

Front-Channel Logout 1.0: the page after a sign-out loads one frame for each ENT that got a token in the session and
registered a `frontchannel_logout_uri`. The browser sends the ENT's cookies with it, unless it blocks cookies in frames
of other sites. The back channel always works, and is the only way if a session ends without its browser.

Session Management 1.0: an ENT's page asks a frame of ours whether the session changed. The frame compares the
`session_state` of the ENT with the present browser state (`idp.sessions.cookies`). If the browser blocks cookies
in frames of other sites, the frame answers `error`. After `changed`, the ENT would send requests with `prompt=none`
endlessly (3.1).
"""

import hashlib
from collections.abc import Sequence
from urllib.parse import urlencode, urlsplit

from flask import Response
from sqlalchemy import select
from sqlalchemy.orm import aliased

from idp import opaque, origins
from idp.clients.models import Client
from idp.clients.registry import Registration
from idp.db import db
from idp.oidc.claims import release
from idp.oidc.models import Token
from idp.services import services
from idp.sessions import cookies
from idp.sessions.models import Session
from idp.web.declarations import Trait, declares
from idp.web.redirects import render_page
from idp.web.security import POLICY

SECONDS = 3  # how long the page waits for the frames before it redirects


def frames(session: Session) -> list[str]:
    """Return the URLs to load for a session: the registered URL of each ENT with `iss` and `sid` (Logout, 3).

    When a password is proved again, the session continues in a new row with the same `sid`. Tokens of the former rows
    count too.
    """
    row = aliased(Session)
    ents = db.session.execute(
        select(Client.frontchannel_logout_uri, Client.subject_salt)
        .distinct()
        .join(Token, Token.client_id == Client.id)
        .join(row, row.id == Token.session_id)
        .where(
            row.account_id == session.account_id,
            row.sid == session.sid,
            Client.disabled_at.is_(None),
            Client.frontchannel_logout_uri != "",
        )
        .order_by(Client.frontchannel_logout_uri)
    )
    return [_frame_url(uri, release.session_id(salt, session.sid)) for uri, salt in ents]


def _frame_url(uri: str, sid: str) -> str:
    query = urlencode({"iss": services().settings.issuer, "sid": sid})
    return f"{uri}{'&' if '?' in uri else '?'}{query}"


def page(urls: Sequence[str], target: str, dest: Registration | None, *, fault: str = "") -> Response:
    """Return the page that loads the frames; its Content-Security-Policy allows their origins only.

    Args:
        urls: The URLs of the frames.
        target: The URL that the page redirects to afterwards; empty for none.
        dest: The ENT that the page names.
        fault: A phrase for the technical team of the ENT.
    """
    response = render_page(
        "oidc/deconnexion_ent.html", frames=urls, seconds=SECONDS, target=target, dest=dest, code=fault
    )
    origins = sorted({"{0.scheme}://{0.netloc}".format(urlsplit(url)) for url in urls})
    response.headers["Content-Security-Policy"] = f"{POLICY}; frame-src {' '.join(origins)}"
    return response


_SALT_LENGTH = 16
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors *"
    ),
    # a cross-origin isolated page may only frame pages with this header
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "public, max-age=3600",
}


def session_state_of(state: str, client_id: str, redirect_uri: str) -> str:
    """Return the `session_state` of a response (Management, 2): a salted hash of client, origin and browser state."""
    salt = opaque.new_value()[:_SALT_LENGTH]
    text = f"{client_id} {origins.of(redirect_uri)} {state} {salt}"
    return f"{hashlib.sha256(text.encode()).hexdigest()}.{salt}"


@declares(Trait.FOR_OTHER_SITES)
def check_session() -> Response:
    """Return the page for the frames of ENTs (Management, 3.2), which is the same for everybody."""
    response = render_page("oidc/session.html", cookie=cookies.browser_state_name())
    response.headers.update(_HEADERS)
    return response
