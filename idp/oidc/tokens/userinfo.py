"""The UserInfo endpoint (OpenID Connect Core 5.3)."""

import json
from typing import Any

from flask import Blueprint, Response, jsonify
from joserfc import jws

from idp.clients.registry import Registration
from idp.oidc.claims import release
from idp.oidc.keys.material import NoSigningKeyError
from idp.oidc.tokens import bearer
from idp.services import services
from idp.web.declarations import for_programs
from idp.web.errors import ServiceBusyError


@for_programs
def userinfo() -> Response:
    """Return the claims that the scope, the claims request and the client's registration release."""
    try:
        holder = bearer.find_holder()
        client = bearer.registration(holder)
    except bearer.AccessTokenError as refused:
        return refused.response()
    if "openid" not in holder.scope.split():  # a refresh may have narrowed the scope
        return bearer.AccessTokenError(403, "insufficient_scope", "the scope openid is needed").response()
    claims = release.userinfo_claims(client, holder)
    return _signed(client, claims) if client.userinfo_alg else jsonify(claims)


def _signed(client: Registration, claims: dict[str, Any]) -> Response:
    """Return the claims as a JWT, for a client that registered `userinfo_signed_response_alg` (5.3.2).

    The JWT has no `typ`, so that it is not accepted as an ID token.
    """
    try:
        signer = services().server.ring.signer(client.userinfo_alg)
    except NoSigningKeyError:
        raise ServiceBusyError from None
    body = json.dumps({**claims, "iss": services().settings.issuer, "aud": client.client_id})
    header = {"alg": signer.alg, "kid": signer.kid}
    token = jws.serialize_compact(header, body, signer.key, algorithms=[signer.alg])
    return Response(token, content_type="application/jwt")


def add_routes(blueprint: Blueprint) -> None:
    """Register the endpoint."""
    blueprint.add_url_rule("/userinfo", "userinfo", userinfo, methods=["GET", "POST"], provide_automatic_options=False)
