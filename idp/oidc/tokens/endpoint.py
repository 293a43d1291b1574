"""The token endpoint (RFC 6749 3.2, Core 3.1.3)."""

import json
from contextlib import suppress
from typing import cast

from idp.metrics.catalogue import TOKENS
from idp.metrics.instruments import OTHER
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

_GRANT = "grant type"
"""The name under which a request keeps its grant type."""


@for_programs
def token(request: Request) -> Response:
    """Exchange a code or a refresh token for tokens."""
    try:
        parameters = client_request.read(request, "grant_type")
        request.decided[_GRANT] = parameters["grant_type"]
        if parameters["grant_type"] not in GRANT_TYPES:
            return refuse(400, "unsupported_grant_type", f"a grant is one of: {', '.join(GRANT_TYPES)}")
        response = cast("Response", services().server.create_token_response(ParsedRequest(request, parameters)))
    except client_request.MalformedRequestError as malformed:
        return malformed.response()
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


ENDPOINTS = (Endpoint("/token", "token", token, ("POST",), options=False, observe=_count),)
