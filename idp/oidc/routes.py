"""The blueprint with all endpoints of the protocol."""

from flask import Blueprint, Response, request

from idp.oidc import discovery
from idp.oidc.authorization import consent, other_ent, par
from idp.oidc.authorization import endpoint as authorize
from idp.oidc.logout import rp_initiated, session_state
from idp.oidc.tokens import endpoint as token
from idp.oidc.tokens import introspection, revocation, userinfo
from idp.web import declarations

blueprint = Blueprint("oidc", __name__)
_ENDPOINTS = (
    authorize,
    consent,
    other_ent,
    par,
    token,
    revocation,
    session_state,
    introspection,
    userinfo,
    discovery,
    rp_initiated,
)


@blueprint.before_request
def answer_head() -> Response | None:
    """Answer HEAD without calling a view that acts on GET: HEAD must be safe (RFC 9110 9.2.1, 9.3.2)."""
    if request.method == "HEAD" and declarations.view_acts_on_get():
        return Response(headers={"Cache-Control": "no-store"})
    return None


for endpoint in _ENDPOINTS:
    endpoint.add_routes(blueprint)
