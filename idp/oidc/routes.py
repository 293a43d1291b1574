"""All endpoints of the protocol on one blueprint. Their own proofs replace the form token."""

from flask import Blueprint

from idp.oidc import (
    agreement,
    authorize,
    discovery,
    dynamic,
    introspection,
    logout,
    openapi,
    par,
    revocation,
    session_state,
    token,
    userinfo,
)

blueprint = Blueprint("oidc", __name__)
_ENDPOINTS = (
    authorize,
    agreement,
    par,
    token,
    revocation,
    session_state,
    introspection,
    userinfo,
    discovery,
    dynamic,
    logout,
    openapi,
)

for endpoint in _ENDPOINTS:
    endpoint.add_routes(blueprint)
