"""The endpoint for pushed authorization requests (RFC 9126): checked before the browser leaves for `/authorize`.

The client authenticates as at the token endpoint, and its request is checked by the functions that check it again when
it is opened. A DPoP proof binds the code to its key as the parameter `dpop_jkt` does (RFC 9449 10.1).
"""

import json
from collections.abc import Mapping

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidRequestError
from flask import Blueprint, Response, request

from idp.clients.registry import Registration
from idp.oidc.authorization import pushed_requests
from idp.oidc.authorization.checks import READ, check_parameters
from idp.oidc.authorization.errors import RequestRefused, RequestUntrusted
from idp.oidc.client_auth import client_request, dpop
from idp.services import services
from idp.throttle import guard, limits
from idp.web.declarations import for_programs
from idp.web.errors import TooManyTries
from idp.web.request_context import remote_address

_LONGEST_KEPT = 16_000
"""Characters of a request as it is kept, a day long at the most: all that the limits of its parameters allow together
would be ten times that, and clients without a secret push in anybody's name."""


@for_programs
def push() -> Response:
    """Keep an authorization request, and say by which `request_uri` it is opened."""
    settings = services().settings
    try:
        parameters = client_request.read(request, "client_id")
        client = _authenticated(parameters)
        if client.auth_method == "none":
            _count()
        proof = dpop.shown(settings.issuer)
        wanted = _wanted(client, parameters, proof)
        check_parameters(settings, services().server.ring, client, wanted)
        dpop.use_up(proof)
    except client_request.Malformed as malformed:
        return malformed.response()
    except OAuth2Error as error:
        return services().server.handle_response(*error())
    except RequestUntrusted as untrusted:  # no page: it is the client itself that asks
        return client_request.refuse(400, "invalid_request", untrusted.phrase)
    except RequestRefused as refused:
        return client_request.refuse(400, refused.error, refused.description)
    if len(json.dumps(wanted)) > _LONGEST_KEPT:
        return client_request.refuse(413, "invalid_request", "the request is too long")
    lifetime = settings.pushed_request_lifetime
    request_uri = pushed_requests.push(client, wanted, lifetime)
    return client_request.answer({"request_uri": request_uri, "expires_in": lifetime}, 201)


def _authenticated(parameters: dict[str, str]) -> Registration:
    """Return the client as the database has it: what it asks for is judged by its registration of now.

    Raises:
        InvalidClientError: it does not prove who it is, or has been shut out since.
        InvalidRequestError: it asks in the name of another.
    """
    client = client_request.proven(parameters, "par")
    if parameters["client_id"] != client.client_id:
        raise InvalidRequestError("The client_id must be that of the client that authenticates.")
    return client


def _count() -> None:
    """Count a request that anybody may push.

    Raises:
        TooManyTries: there were too many from that address.
    """
    verdict = guard.take_all((limits.PUSHED_ADDRESS, remote_address()))
    if isinstance(verdict, guard.Wait):
        raise TooManyTries(verdict.seconds)


def _wanted(client: Registration, parameters: Mapping[str, str], proof: dpop.Proof | None) -> dict[str, str]:
    """Return the authorization request among the parameters, bound to the key of the proof if there is one.

    What nobody reads is not kept, and least of all what proves the client.

    Raises:
        InvalidRequestError: it refers to another request (section 2.1).
        ProofRefused: the proof proves nothing, or another key than `dpop_jkt` names (RFC 9449 10.1).
    """
    if "request_uri" in parameters:
        raise InvalidRequestError("A pushed request must not have a request_uri.")
    wanted = {name: value for name, value in parameters.items() if name in READ}
    if proof is None:
        return wanted
    dpop.check_policy(client, proof)
    if wanted.setdefault("dpop_jkt", proof.jkt) != proof.jkt:
        raise dpop.ProofRefused("The proof is of another key than dpop_jkt.")
    return wanted


def add_routes(blueprint: Blueprint) -> None:
    """Register the endpoint."""
    blueprint.add_url_rule("/par", "push", push, methods=["POST"], provide_automatic_options=False)
