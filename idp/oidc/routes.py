"""All endpoints of the protocol on one blueprint. Their own proofs replace the form token."""

from flask import Blueprint

from idp.oidc import authorize, discovery, logout, token, userinfo

blueprint = Blueprint("oidc", __name__)
for endpoint in (authorize, token, userinfo, discovery, logout):
    endpoint.add_routes(blueprint)
