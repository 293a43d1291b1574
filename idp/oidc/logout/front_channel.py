"""Tells the ENTs by the browser that its session ended (OpenID Connect Front-Channel Logout 1.0).

The page that follows a sign-out loads one frame for each ENT that got a token in the session and registered an address
for it; the browser brings that ENT's own cookies along, and lets the frame do nothing to the page around it. Where
browsers keep cookies from frames of other sites the ENT hears nothing: the back channel is the sure way, and the only
one when a session ends without its browser.
"""

from collections.abc import Sequence
from urllib.parse import urlencode, urlsplit

from flask import Response, make_response, render_template
from sqlalchemy import select
from sqlalchemy.orm import aliased

from idp.clients.models import Client
from idp.clients.registry import Registration
from idp.db import db
from idp.oidc.claims import release
from idp.oidc.models import Token
from idp.services import services
from idp.sessions.models import Session
from idp.web.security import POLICY

SECONDS = 3
"""How long the page waits for the ENTs before it goes on."""


def frames(session: Session) -> list[str]:
    """Return the addresses to load for a session: `iss` and `sid` added to what each ENT registered (3).

    A session that went on under another row (a password proved again) keeps its `sid`: what was given under its former
    rows counts too.
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
    return [_address(uri, release.session_id(salt, session.sid)) for uri, salt in ents]


def _address(uri: str, sid: str) -> str:
    told = urlencode({"iss": services().settings.issuer, "sid": sid})
    return f"{uri}{'&' if '?' in uri else '?'}{told}"


def page(addresses: Sequence[str], target: str, dest: Registration | None, *, fault: str = "") -> Response:
    """Show that the person is signed out while the frames load; then go on to `target`, if there is one.

    `fault` is a phrase for the technical team of the ENT.

    The policy of this answer lets these hosts be framed and nothing else.
    """
    shown = {"target": target, "dest": dest, "code": fault}
    html = render_template("oidc/deconnexion_ent.html", frames=addresses, seconds=SECONDS, **shown)
    response = make_response(html)
    origins = sorted({"{0.scheme}://{0.netloc}".format(urlsplit(address)) for address in addresses})
    response.headers["Content-Security-Policy"] = f"{POLICY}; frame-src {' '.join(origins)}"
    return response
