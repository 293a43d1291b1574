"""The UserInfo endpoint (OpenID Connect Core 5.3)."""

from flask import Blueprint, Response, jsonify

from idp.oidc import bearer, claims


def userinfo() -> Response:
    """Return the claims that the access token, or the client's registration, releases."""
    try:
        holder = bearer.holder()
        client = bearer.registration(holder)
    except bearer.Unauthorized as refused:
        return refused.response()
    return jsonify(claims.user_info(client, holder))


def add_routes(blueprint: Blueprint) -> None:
    """Register the endpoint."""
    blueprint.add_url_rule("/userinfo", "userinfo", userinfo, methods=["GET", "POST"], provide_automatic_options=False)
