"""The UserInfo endpoint (OpenID Connect Core 5.3)."""

from typing import Any

from idp.clients.registry import Registration
from idp.oidc.claims import release
from idp.oidc.keys.material import NoSigningKeyError
from idp.oidc.tokens import bearer
from idp.services import services
from idp.web.declarations import for_programs
from idp.web.door.endpoints import Endpoint
from idp.web.errors import ServiceBusyError
from idp.web.http import Request, Response, json_response


@for_programs
def userinfo(request: Request) -> Response:
    """Return the claims that the scope, the claims request and the client's registration release."""
    try:
        holder = bearer.find_holder(request)
        client = bearer.registration(holder)
    except bearer.AccessTokenError as refused:
        return refused.response(request)
    if "openid" not in holder.scope.split():  # a refresh may have narrowed the scope
        return bearer.AccessTokenError(403, "insufficient_scope", "the scope openid is needed").response(request)
    claims = release.userinfo_claims(client, holder)
    return _signed(client, claims) if client.userinfo_alg else json_response(claims)


def _signed(client: Registration, claims: dict[str, Any]) -> Response:
    """Return the claims as a JWT, for a client that registered `userinfo_signed_response_alg` (5.3.2).

    The JWT has no `typ`, so that it is not accepted as an ID token.
    """
    try:
        signer = services().server.ring.signer(client.userinfo_alg)
    except NoSigningKeyError:
        raise ServiceBusyError from None
    token = signer.sign({**claims, "iss": services().settings.issuer, "aud": client.client_id})
    return Response(token, content_type="application/jwt")


ENDPOINTS = (Endpoint("/userinfo", "userinfo", userinfo, ("GET", "POST"), options=False),)
