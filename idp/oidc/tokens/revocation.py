"""The revocation endpoint (RFC 7009)."""

from authlib.oauth2 import OAuth2Error

from idp.oidc.client_auth import client_request
from idp.oidc.tokens import issued
from idp.services import services
from idp.web.declarations import for_programs
from idp.web.door.endpoints import Endpoint
from idp.web.http import Request, Response


@for_programs
def revoke(request: Request) -> Response:
    """Revoke the token; answer 200 also for an unknown or invalid token (2.2), an error for another client's (2.1).

    `token_type_hint` is not needed: a token of each type is found by its digest.
    """
    try:
        parameters = client_request.read(request, "token")
        client = client_request.authenticate_current(request, parameters, "revocation")
    except client_request.MalformedRequestError as malformed:
        return malformed.response()
    except OAuth2Error as error:
        return services().server.handle_response(*error())
    try:
        issued.revoke(parameters["token"], client)
    except issued.OtherClientError:
        return client_request.refuse(400, "invalid_grant", "the token was issued to another client")
    return client_request.answer({})


ENDPOINTS = (Endpoint("/revoke", "revoke", revoke, ("POST",), options=False),)
