"""The UserInfo endpoint (OpenID Connect Core 5.3)."""

import json
from typing import Any

from flask import Blueprint, Response, jsonify
from joserfc import jws

from idp.clients.registry import Registration
from idp.oidc.claims import release
from idp.oidc.keys.ring import NoSigningKey
from idp.oidc.tokens import bearer
from idp.services import services
from idp.web.declarations import for_programs
from idp.web.errors import ServiceBusyError


@for_programs
def userinfo() -> Response:
    """Return the claims that the access token, or the client's registration, releases."""
    try:
        holder = bearer.holder()
        client = bearer.registration(holder)
    except bearer.Unauthorized as refused:
        return refused.response()
    if "openid" not in holder.scope.split():  # a refresh may have asked for less
        return bearer.Unauthorized(403, "insufficient_scope", "the scope openid is needed").response()
    told = release.user_info(client, holder)
    return _signed(client, told) if client.userinfo_alg else jsonify(told)


def _signed(client: Registration, told: dict[str, Any]) -> Response:
    """Return the claims as a JWT, for a client that registered `userinfo_signed_response_alg` (5.3.2).

    It has no `typ`: nothing that looks for an ID token takes it for one.
    """
    try:
        signer = services().server.ring.signer(client.userinfo_alg)
    except NoSigningKey:
        raise ServiceBusyError from None
    body = json.dumps({**told, "iss": services().settings.issuer, "aud": client.client_id})
    header = {"alg": signer.alg, "kid": signer.kid}
    token = jws.serialize_compact(header, body, signer.key, algorithms=[signer.alg])
    return Response(token, content_type="application/jwt")


def add_routes(blueprint: Blueprint) -> None:
    """Register the endpoint."""
    blueprint.add_url_rule("/userinfo", "userinfo", userinfo, methods=["GET", "POST"], provide_automatic_options=False)
