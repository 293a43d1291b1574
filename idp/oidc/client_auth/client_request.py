"""Reads and authenticates the requests that clients POST to the token endpoint and its siblings."""

import re

from authlib.oauth2.rfc6749 import InvalidRequestError

from idp.clients.registry import Registration
from idp.oidc.client_auth import client
from idp.oidc.parameters import ParameterError, ParsedRequest, parse
from idp.services import services
from idp.web.http import FORM, Request, Response, json_response

_FORBIDDEN = re.compile(r"[^ !#-\[\]-~]")


def read(request: Request, *required: str) -> dict[str, str]:
    """Return the parameters of the body.

    Raises:
        InvalidRequestError: The body is not a form, the query is not empty, a `required` parameter is missing, or
            the client authenticates in two ways (RFC 6749 2.3).
    """
    if request.media_type != FORM:
        raise InvalidRequestError(f"the body must be {FORM}", status_code=415)
    if request.query_string:
        raise InvalidRequestError("parameters belong in the body")
    try:
        parameters = parse(request.body)
    except ParameterError as error:
        raise InvalidRequestError(str(error)) from error
    credentials = {"client_secret", "client_assertion"} & parameters.keys()
    if len(credentials) + bool(request.header("Authorization")) > 1:
        raise InvalidRequestError("the client authenticates in two ways at once")
    for name in required:
        if name not in parameters:
            raise InvalidRequestError(f"{name} is missing")
    return parameters


def authenticate(request: Request, parameters: dict[str, str], endpoint: str) -> client.ProtocolClient:
    """Return the client that sends this request.

    Raises:
        InvalidClientError: The authentication failed.
    """
    parsed = ParsedRequest(request, parameters)
    return services().server.authenticate_client(parsed, client.AUTH_METHODS, endpoint)


def authenticate_current(request: Request, parameters: dict[str, str], endpoint: str) -> Registration:
    """Return the registration that the database has for the client that sends this request.

    It is for endpoints whose statements do not check the client's version.

    Raises:
        InvalidClientError: The authentication failed, or the client was disabled or changed meanwhile.
    """
    known = authenticate(request, parameters, endpoint).registration
    fresh = client.find(known.client_id, fresh=True)
    if fresh is None or not client.is_authentication_current(known, fresh.registration):
        raise client.authentication_error()
    return fresh.registration


def refuse(status: int, error: str, description: str) -> Response:
    """Return an error response (RFC 6749 5.2).

    `error_description` has only printable ASCII without double quotes and backslashes, and is never empty (A.8).
    """
    optional = {"error_description": _FORBIDDEN.sub("?", description)} if description else {}
    return answer({"error": error, **optional}, status)


def answer(body: object, status: int = 200) -> Response:
    """Return a JSON response that is not cached (RFC 6749 5.1)."""
    return json_response(body, status, [("Cache-Control", "no-store"), ("Pragma", "no-cache")])
