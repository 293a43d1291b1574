"""The endpoints for tokens: the token endpoint, introspection, revocation and UserInfo.

RFC 6749 3.2, Core 3.1.3; RFC 7662; RFC 7009; OpenID Connect Core 5.3. A public client proves nothing, so introspection
gives it no answer: anybody who finds a token could ask in its name (RFC 7662 2.1).

UserInfo takes an access token from the header or the body of a POST, never from the query (RFC 6750). A token that is
bound to a key needs the scheme `DPoP` and a proof of that key (RFC 9449 7). Any other token needs the scheme `Bearer`.
"""

import json
from contextlib import suppress
from typing import Any, cast

from authlib.oauth2 import OAuth2Error

from idp import opaque
from idp.accounts.models import Account
from idp.charter.api import Bearer
from idp.clients import registry
from idp.clients.models import CharterMode
from idp.clock import now
from idp.metrics.catalogue import TOKENS
from idp.metrics.instruments import OTHER
from idp.oidc.claims import release
from idp.oidc.client_auth import client as clients, dpop
from idp.oidc.keys import jose
from idp.oidc.keys.material import NoSigningKeyError
from idp.oidc.models import Token
from idp.oidc.parameters import ParameterError, ParsedRequest, parse
from idp.oidc.store.contract import Holder
from idp.oidc.tokens import issued
from idp.services import services
from idp.web.declarations import Trait, declares
from idp.web.endpoints import Endpoint
from idp.web.errors import ServiceBusyError
from idp.web.http import Request, Response, json_response


@declares(Trait.FOR_PROGRAMS)
def userinfo(request: Request) -> Response:
    """Return the claims that the scope, the claims request and the client's registration release."""
    try:
        holder = find_holder(request)
        client = registration(holder)
    except AccessTokenError as refused:
        return refused.response(request)
    if "openid" not in holder.scope.split():  # a refresh may have narrowed the scope
        return AccessTokenError(403, "insufficient_scope", "the scope openid is needed").response(request)
    claims = release.userinfo_claims(client, holder)
    return _signed(client, claims) if client.userinfo_alg else json_response(claims)


def _signed(client: registry.Registration, claims: dict[str, Any]) -> Response:
    """Return the claims as a JWT, for a client that registered `userinfo_signed_response_alg` (5.3.2).

    The JWT has no `typ`, so that it is not accepted as an ID token.
    """
    try:
        signer = services().server.ring.signer(client.userinfo_alg)
    except NoSigningKeyError:
        raise ServiceBusyError from None
    token = signer.sign({**claims, "iss": services().settings.issuer, "aud": client.client_id})
    return Response(token, content_type="application/jwt")


@declares(Trait.FOR_PROGRAMS)
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


@declares(Trait.FOR_PROGRAMS)
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


def _members(client: registry.Registration, token: Token, account: Account) -> dict[str, Any]:
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


@declares(Trait.FOR_PROGRAMS)
def token(request: Request) -> Response:
    """Exchange a code or a refresh token for tokens."""
    try:
        parameters = clients.read(request, "grant_type")
        request.decided[_GRANT] = parameters["grant_type"]
        if parameters["grant_type"] not in clients.GRANT_TYPES:
            return clients.refuse(400, "unsupported_grant_type", f"a grant is one of: {', '.join(clients.GRANT_TYPES)}")
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


_TOKEN_LENGTH = 43
_BEARER, _DPOP = 'Bearer realm="idp"', "DPoP"
_ALGORITHMS = f'algs="{" ".join(jose.CLIENT_ALGORITHMS)}"'


class AccessTokenError(Exception):
    """The token is missing, sent twice or invalid.

    `error` is a code of RFC 6750 3.1 or RFC 9449 7.1; empty if the request has no token.
    """

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.description = description

    def response(self, request: Request) -> Response:
        """Return the response. The challenge of the scheme that was tried comes first, with the error."""
        error = {"error": self.error} if self.error else {}  # no code for a request without a token (RFC 6750 3.1)
        by_dpop = request.header("Authorization").partition(" ")[0].lower() == "dpop"
        challenges = [
            ("WWW-Authenticate", self._challenge(scheme, tried=(scheme is _DPOP) == by_dpop))
            for scheme in ((_DPOP, _BEARER) if by_dpop else (_BEARER, _DPOP))
        ]
        return json_response({**error, "error_description": self.description}, self.status, challenges)

    def _challenge(self, scheme: str, *, tried: bool) -> str:
        parts = [f'error="{self.error}"', f'error_description="{self.description}"'] if tried and self.error else []
        if scheme is _DPOP:
            return f"{_DPOP} {', '.join([*parts, _ALGORITHMS])}"
        return ", ".join([_BEARER, *parts])


def find_holder(request: Request) -> Holder:
    """Return the holder of the access token of this request.

    Raises:
        AccessTokenError: The token is missing or invalid, or bound to a key that this request does not prove.
    """
    scheme, value = _presented(request)
    is_token = len(value) == _TOKEN_LENGTH
    holder = services().server.store.find_holder(opaque.digest(value), now()) if is_token else None
    if holder is None:
        raise AccessTokenError(401, "invalid_token", "the access token is unknown, expired or revoked")
    if scheme != "bearer" or holder.jkt is not None:
        _check_binding(request, scheme, value, holder)
    return holder


def registration(holder: Holder) -> registry.Registration:
    """Return the client of a token, in the version that the store read or a newer one.

    Raises:
        AccessTokenError: The client was disabled or removed meanwhile.
    """
    client = registry.find(holder.client_id)
    if client is None or client.version != holder.client_version:
        client = registry.find(holder.client_id, fresh=True)
    if client is None:
        raise AccessTokenError(401, "invalid_token", "the client is not registered")
    return client


def authenticate_charter(request: Request) -> Bearer | Response:
    """Return the holder of a token with the scope `charter`, or the response that refuses it (`idp.charter.api`)."""
    try:
        holder = find_holder(request)
        client = registration(holder)
    except AccessTokenError as refused:
        return refused.response(request)
    if "charter" not in release.effective_scopes(client, holder.scope):
        return AccessTokenError(403, "insufficient_scope", "the scope charter is needed").response(request)
    return Bearer(holder.account_id, holder.client_key, client.charter_mode is not CharterMode.PROVIDER)


def _check_binding(request: Request, scheme: str, value: str, holder: Holder) -> None:
    if holder.jkt is None:
        raise AccessTokenError(401, "invalid_token", "the access token is bound to no key: it is a Bearer token")
    if scheme != "dpop":
        raise AccessTokenError(401, "invalid_token", "the access token is bound to a key: it is no Bearer token")
    try:
        dpop.confirm(request, services().settings.issuer, registration(holder), value, holder.jkt)
    except dpop.ProofError as refused:
        raise AccessTokenError(401, refused.error, str(refused.description)) from refused
    except dpop.WrongKeyError as wrong:
        raise AccessTokenError(401, "invalid_token", "the access token is bound to another key") from wrong


def _presented(request: Request) -> tuple[str, str]:
    header = request.header("Authorization")
    in_body = None
    if request.method == "POST" and request.form:
        try:
            in_body = parse(request.form).get("access_token")
        except ParameterError as error:
            raise AccessTokenError(400, "invalid_request", str(error)) from error
    if request.query_string and "access_token" in request.arguments:
        raise AccessTokenError(400, "invalid_request", "an access token must not be sent in the query")
    if header and in_body is not None:
        raise AccessTokenError(400, "invalid_request", "the request has two access tokens")
    if in_body is not None:
        return "bearer", in_body
    scheme, _, value = header.partition(" ")
    if scheme.lower() not in {"bearer", "dpop"} or not value:
        raise AccessTokenError(401, "", "an access token is needed")
    return scheme.lower(), value.strip()
