"""The endpoints for tokens: the token endpoint, introspection, revocation and UserInfo.

RFC 6749 3.2, Core 3.1.3; RFC 7662; RFC 7009; OpenID Connect Core 5.3. A public client proves nothing, so introspection
gives it no answer: anybody who finds a token could ask in its name (RFC 7662 2.1).
"""

import json
from contextlib import suppress
from typing import Any, cast

from authlib.oauth2 import OAuth2Error

from idp.accounts.models import Account
from idp.clients.registry import Registration
from idp.metrics.catalogue import TOKENS
from idp.metrics.instruments import OTHER
from idp.oidc.claims import release
from idp.oidc.client_auth import client as clients
from idp.oidc.client_auth.client import GRANT_TYPES
from idp.oidc.keys.material import NoSigningKeyError
from idp.oidc.models import Token
from idp.oidc.parameters import ParsedRequest
from idp.oidc.tokens import bearer, issued
from idp.services import services
from idp.web.declarations import for_programs
from idp.web.door.pages import Endpoint
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


@for_programs
def revoke(request: Request) -> Response:
    """Revoke the token; answer 200 also for an unknown or invalid token (2.2), an error for another client's (2.1).

    `token_type_hint` is not needed: a token of each type is found by its digest.
    """
    try:
        parameters = clients.read(request, "token")
        client = clients.authenticate_current(request, parameters, "revocation")
    except OAuth2Error as error:
        return services().server.handle_response(*error())
    try:
        issued.revoke(parameters["token"], client)
    except issued.OtherClientError:
        return clients.refuse(400, "invalid_grant", "the token was issued to another client")
    return clients.answer({})


@for_programs
def introspect(request: Request) -> Response:
    """Return the state of a token; `{"active": false}` without a reason for an invalid token."""
    try:
        parameters = clients.read(request, "token")
        client = clients.authenticate_current(request, parameters, "introspection")
        if client.auth_method == "none":
            raise clients.authentication_error()
    except OAuth2Error as error:
        return services().server.handle_response(*error())
    valid = issued.find(parameters["token"], client)
    return clients.answer(_members(client, *valid) if valid else {"active": False})


def _members(client: Registration, token: Token, account: Account) -> dict[str, Any]:
    """Return the members of section 2.2, and the key that the token is bound to (RFC 9449 6.2)."""
    members: dict[str, Any] = {
        "active": True,
        "iss": services().settings.issuer,
        "client_id": client.client_id,
        "aud": client.client_id,
        "sub": release.subject(client, account.id, account.join_key),
        "scope": release.remaining_scope(client, token.scope),
        "exp": int(token.expires_at.timestamp()),
        "auth_time": int(token.auth_time.timestamp()),
        "acr": release.authentication_class(token.acr, token.claims),
    }
    if token.jkt:
        members["cnf"] = {"jkt": token.jkt}
    if token.kind != "r":
        members["token_type"] = "DPoP" if token.jkt else "Bearer"
    return members


_GRANT = "grant type"  # the name under which a request keeps its grant type


@for_programs
def token(request: Request) -> Response:
    """Exchange a code or a refresh token for tokens."""
    try:
        parameters = clients.read(request, "grant_type")
        request.decided[_GRANT] = parameters["grant_type"]
        if parameters["grant_type"] not in GRANT_TYPES:
            return clients.refuse(400, "unsupported_grant_type", f"a grant is one of: {', '.join(GRANT_TYPES)}")
        response = cast("Response", services().server.create_token_response(ParsedRequest(request, parameters)))
    except OAuth2Error as error:
        return services().server.handle_response(*error())
    except NoSigningKeyError:
        raise ServiceBusyError from None
    return response


def _count(request: Request, response: Response) -> None:
    error = "none"
    if response.status != 200:  # noqa: PLR2004 - tokens were issued
        error = OTHER
        with suppress(ValueError, KeyError, TypeError):  # an error page of another shape
            error = str(json.loads(response.body)["error"])
    TOKENS.count(str(request.decided.get(_GRANT, OTHER)), error)


ENDPOINTS = (
    Endpoint("/token", "token", token, ("POST",), options=False, observe=_count),
    Endpoint("/revoke", "revoke", revoke, ("POST",), options=False),
    Endpoint("/introspect", "introspect", introspect, ("POST",), options=False),
    Endpoint("/userinfo", "userinfo", userinfo, ("GET", "POST"), options=False),
)
