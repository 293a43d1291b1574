"""The introspection endpoint (RFC 7662), for confidential clients and their own tokens.

A public client proves nothing, so it gets no answer: anybody who finds a token could ask in its name (2.1).
"""

from typing import Any

from authlib.oauth2 import OAuth2Error

from idp.clients.registry import Registration
from idp.oidc.claims import release
from idp.oidc.client_auth import client as clients
from idp.oidc.client_auth import client_request
from idp.oidc.tokens import issued
from idp.services import services
from idp.web.declarations import for_programs
from idp.web.door.endpoints import Endpoint
from idp.web.http import Request, Response


@for_programs
def introspect(request: Request) -> Response:
    """Return the state of a token; `{"active": false}` without a reason for an invalid token."""
    try:
        parameters = client_request.read(request, "token")
        client = client_request.authenticate_current(request, parameters, "introspection")
        if client.auth_method == "none":
            raise clients.authentication_error()
    except client_request.MalformedRequestError as malformed:
        return malformed.response()
    except OAuth2Error as error:
        return services().server.handle_response(*error())
    token = issued.find(parameters["token"], client)
    return client_request.answer(_members(client, token) if token else {"active": False})


def _members(client: Registration, valid: issued.Issued) -> dict[str, Any]:
    """Return the members of section 2.2, and the key that the token is bound to (RFC 9449 6.2)."""
    token, account = valid.token, valid.account
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
    if not valid.is_refresh:
        members["token_type"] = "DPoP" if token.jkt else "Bearer"
    return members


ENDPOINTS = (Endpoint("/introspect", "introspect", introspect, ("POST",), options=False),)
