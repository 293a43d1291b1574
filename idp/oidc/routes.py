"""All endpoints of the protocol on one blueprint. Their own proofs replace the form token."""

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
def look_only() -> Response | None:
    """Answer HEAD where a GET would do something: who asks for the head alone only looks (RFC 9110 9.2.1, 9.3.2)."""
    if request.method == "HEAD" and declarations.view_acts_on_get():
        return Response(headers={"Cache-Control": "no-store"})
    return None


for endpoint in _ENDPOINTS:
    endpoint.add_routes(blueprint)
