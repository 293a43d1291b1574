"""All endpoints of the protocol on one blueprint. Their own proofs replace the form token."""

from flask import Blueprint, Response, request

from idp.oidc import (
    agreement,
    authorize,
    discovery,
    dynamic,
    introspection,
    logout,
    not_this_ent,
    par,
    revocation,
    session_state,
    token,
    userinfo,
)
from idp.web import declarations

blueprint = Blueprint("oidc", __name__)
_ENDPOINTS = (
    authorize,
    agreement,
    not_this_ent,
    par,
    token,
    revocation,
    session_state,
    introspection,
    userinfo,
    discovery,
    dynamic,
    logout,
)


@blueprint.before_request
def look_only() -> Response | None:
    """Answer HEAD where a GET would do something: who asks for the head alone only looks (RFC 9110 9.2.1, 9.3.2)."""
    if request.method == "HEAD" and declarations.view_acts_on_get():
        return Response(headers={"Cache-Control": "no-store"})
    return None


for endpoint in _ENDPOINTS:
    endpoint.add_routes(blueprint)
