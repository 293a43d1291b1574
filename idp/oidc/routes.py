"""The endpoints of the protocol, and the blueprint of its pages."""

from flask import Blueprint, request

from idp.charter import api as charter_api
from idp.oidc import discovery
from idp.oidc.authorization import endpoint as authorize, pages, par
from idp.oidc.logout import front_channel, rp_initiated
from idp.oidc.tokens import endpoints as token
from idp.web import declarations
from idp.web.door import Door
from idp.web.http import Response

_ENDPOINTS = (authorize, par, token, discovery)
_PAGES = (
    ("/authorize/accord", pages.agree, ("GET", "POST")),
    ("/authorize/est-ce-vous", pages.is_it_you, ("GET", "POST")),
    ("/authorize/autre-ent", pages.not_this_ent, ("GET",)),
    ("/session/check", front_channel.check_session, ("GET",)),
    ("/logout", rp_initiated.logout, ("GET", "POST")),
)


def blueprints(door: Door) -> tuple[Blueprint, ...]:
    """Return new blueprints with all routes; their endpoints are added to `door`."""
    protocol, charter = Blueprint("oidc", __name__), Blueprint("charter_api", __name__)
    for module in _ENDPOINTS:
        door.add(protocol, module.ENDPOINTS)
    door.add(charter, charter_api.endpoints(token.authenticate_charter))
    for path, page, methods in _PAGES:
        protocol.add_url_rule(path, view_func=page, methods=methods)
    protocol.before_request(_answer_head)
    return protocol, charter


def _answer_head() -> Response | None:
    """Answer HEAD without calling a view that acts on GET: HEAD must be safe (RFC 9110 9.2.1, 9.3.2)."""
    if request.method == "HEAD" and declarations.view_acts_on_get():
        return Response(headers=[("Cache-Control", "no-store")])
    return None
