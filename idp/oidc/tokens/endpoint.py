"""The token endpoint (RFC 6749 3.2, Core 3.1.3)."""

from typing import cast

from idp.oidc.client_auth import client_request
from idp.oidc.client_auth.client import GRANT_TYPES
from idp.oidc.client_auth.client_request import refuse
from idp.oidc.keys.material import NoSigningKeyError
from idp.oidc.parameters import ParsedRequest
from idp.services import services
from idp.web.declarations import for_programs
from idp.web.door.endpoints import Endpoint
from idp.web.errors import ServiceBusyError
from idp.web.http import Request, Response


@for_programs
def token(request: Request) -> Response:
    """Exchange a code or a refresh token for tokens."""
    try:
        parameters = client_request.read(request, "grant_type")
        if parameters["grant_type"] not in GRANT_TYPES:
            return refuse(400, "unsupported_grant_type", f"a grant is one of: {', '.join(GRANT_TYPES)}")
        response = cast("Response", services().server.create_token_response(ParsedRequest(request, parameters)))
    except client_request.MalformedRequestError as malformed:
        return malformed.response()
    except NoSigningKeyError:
        raise ServiceBusyError from None
    return response


ENDPOINTS = (Endpoint("/token", "token", token, ("POST",), options=False),)
