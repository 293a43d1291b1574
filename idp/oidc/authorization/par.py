"""The endpoint for pushed authorization requests (RFC 9126).

The client authenticates as at the token endpoint. The functions that check the request here check it again at the
authorization endpoint. A DPoP proof binds the code to its key, as the parameter `dpop_jkt` does (RFC 9449 10.1).
"""

import json
from collections.abc import Mapping

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidRequestError

from idp.clients.registry import Registration
from idp.oidc.authorization import pushed_requests
from idp.oidc.authorization.checks import PARAMETERS, check_parameters
from idp.oidc.authorization.errors import RequestRefusedError, UntrustedRequestError
from idp.oidc.client_auth import client as clients, dpop
from idp.services import services
from idp.throttle import guard, limits
from idp.web.declarations import Trait, declares
from idp.web.endpoints import Endpoint
from idp.web.errors import TooManyRequestsError
from idp.web.http import Request, Response

_LIFETIME_SECONDS = 90  # of a request, until the browser opens it (RFC 9126, 2.2: below ten minutes)
# Characters of a stored request. The limits of the single parameters allow ten times as much, and anybody can push in
# the name of a public client.
_MAX_STORED_LENGTH = 16_000


@declares(Trait.FOR_PROGRAMS)
def push(request: Request) -> Response:
    """Store an authorization request and return its `request_uri`."""
    try:
        parameters = clients.read(request, "client_id")
        client = clients.authenticate_current(request, parameters, "par")
        if parameters["client_id"] != client.client_id:
            raise InvalidRequestError("The client_id must be that of the client that authenticates.")
        if client.auth_method == "none":
            _count(request.remote_ip)
        proof = dpop.read_proof(request, services().settings.issuer)
        requested = _request_parameters(client, parameters, proof)
        check_parameters(client, requested)
        dpop.use_proof(proof)
    except OAuth2Error as error:
        return services().server.handle_response(*error())
    except UntrustedRequestError as untrusted:  # the client sends this request itself, so it gets no page
        return clients.refuse(400, "invalid_request", untrusted.phrase)
    except RequestRefusedError as refused:
        return clients.refuse(400, refused.error, refused.description)
    if len(json.dumps(requested)) > _MAX_STORED_LENGTH:
        return clients.refuse(413, "invalid_request", "the request is too long")
    request_uri = pushed_requests.push(client, requested, _LIFETIME_SECONDS)
    return clients.answer({"request_uri": request_uri, "expires_in": _LIFETIME_SECONDS}, 201)


def _count(ip: str) -> None:
    if seconds := guard.take_or_wait((limits.PUSHED_IP, ip)):
        raise TooManyRequestsError(seconds)


def _request_parameters(
    client: Registration, parameters: Mapping[str, str], proof: dpop.Proof | None
) -> dict[str, str]:
    """Return the parameters of the authorization request, without credentials, with the proof's key as `dpop_jkt`."""
    if "request_uri" in parameters:
        raise InvalidRequestError("A pushed request must not have a request_uri.")
    requested = {name: value for name, value in parameters.items() if name in PARAMETERS}
    if proof is None:
        return requested
    dpop.check_policy(client, proof)
    if requested.setdefault("dpop_jkt", proof.jkt) != proof.jkt:
        raise dpop.ProofError("The key of the proof is not that of dpop_jkt.")
    return requested


ENDPOINTS = (Endpoint("/par", "push", push, ("POST",), options=False),)
