"""The token endpoint (RFC 6749 3.2, Core 3.1.3): POST, a form, one authentication, nothing from the query."""

import json
from typing import cast

from flask import Blueprint, Request, Response, request

from idp.oidc.clients import GRANT_TYPES
from idp.oidc.keys import NoSigningKey
from idp.oidc.parameters import ParameterError, ParsedRequest, parse
from idp.oidc.server import of_app
from idp.web.errors import Busy

_FORM = "application/x-www-form-urlencoded"


class _Malformed(Exception):  # noqa: N818 - what it is
    """The request is refused before anybody looks at what it shows: RFC 6749 5.2's `invalid_request`."""

    def __init__(self, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.description = description
        self.status = status


def token() -> Response:
    """Exchange a code or a refresh token."""
    try:
        parameters = _read(request)
        if parameters["grant_type"] not in GRANT_TYPES:
            return refuse(400, "unsupported_grant_type", f"a grant is one of: {', '.join(GRANT_TYPES)}")
        response = cast("Response", of_app().create_token_response(ParsedRequest(request, parameters)))
    except _Malformed as malformed:
        return refuse(malformed.status, "invalid_request", malformed.description)
    except NoSigningKey:
        raise Busy from None
    return response


def _read(http: Request) -> dict[str, str]:
    """Return the parameters of the body.

    Raises:
        _Malformed: they are not where or as they belong, or authenticate in two ways at once (RFC 6749 2.3).
    """
    if http.mimetype != _FORM:
        raise _Malformed(f"the body must be {_FORM}", 415)
    if http.query_string:
        raise _Malformed("parameters belong in the body")
    try:
        parameters = parse(http.get_data())
    except ParameterError as error:
        raise _Malformed(str(error)) from error
    proofs = {"client_secret", "client_assertion"} & parameters.keys()
    if len(proofs) + bool(http.headers.get("Authorization")) > 1:
        raise _Malformed("two ways of authentication at once")
    if "grant_type" not in parameters:
        raise _Malformed("grant_type is missing")
    return parameters


def refuse(status: int, error: str, description: str) -> Response:
    """Return an error in the form of RFC 6749 5.2."""
    body = json.dumps({"error": error, "error_description": description})
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store", "Pragma": "no-cache"}
    return Response(body, status, headers)


def add_routes(blueprint: Blueprint) -> None:
    """Register the endpoint."""
    blueprint.add_url_rule("/token", "token", token, methods=["POST"], provide_automatic_options=False)
