"""The UserInfo endpoint (OpenID Connect Core 5.3)."""

from flask import Blueprint, Response, jsonify

from idp.clients import registry
from idp.oidc import bearer, claims


def userinfo() -> Response:
    """Return the claims that the access token, or the client's registration, releases."""
    try:
        holder = bearer.holder()
    except bearer.Unauthorized as refused:
        return refused.response()
    client = registry.find(holder.client_id)
    if client is None or client.version != holder.client_version:
        client = registry.find(holder.client_id, fresh=True)
    if client is None:
        return bearer.Unauthorized(401, "invalid_token", "the client is not registered").response()
    return jsonify(claims.user_info(client, holder))


def add_routes(blueprint: Blueprint) -> None:
    """Register the endpoint."""
    blueprint.add_url_rule("/userinfo", "userinfo", userinfo, methods=["GET", "POST"], provide_automatic_options=False)
