"""The token endpoint (RFC 6749 3.2, OpenID Connect Core 3.1.3): POST, form-encoded, one authentication, nothing from the query."""

import json

from flask import Blueprint, Response, current_app, request

from idp.oidc.keys import NoSigningKey
from idp.oidc.parameters import ParameterError, ParsedRequest, parse
from idp.oidc.server import Server
from idp.web.errors import Busy

_FORM = "application/x-www-form-urlencoded"


def token() -> Response:
    """Exchange a code or a refresh token."""
    server: Server = current_app.extensions["idp.server"]
    if request.mimetype != _FORM:
        return refuse(415, "invalid_request", f"the body must be {_FORM}")
    if request.query_string:
        return refuse(400, "invalid_request", "parameters belong in the body")
    try:
        parameters = parse(request.get_data())
    except ParameterError as error:
        return refuse(400, "invalid_request", str(error))
    if request.headers.get("Authorization") and parameters.get("client_secret"):
        return refuse(400, "invalid_request", "two ways of authentication at once")
    if "grant_type" not in parameters:
        return refuse(400, "invalid_request", "grant_type is missing")
    parsed = ParsedRequest(request, f"{server.settings.issuer}/token", parameters)
    try:
        response: Response = server.create_token_response(parsed)
    except NoSigningKey:
        raise Busy from None
    except ValueError:
        return refuse(400, "invalid_request", "a parameter is not acceptable")
    return response


def refuse(status: int, error: str, description: str) -> Response:
    """Return an error in the form of RFC 6749 5.2."""
    body = json.dumps({"error": error, "error_description": description})
    return Response(body, status, {"Content-Type": "application/json", "Cache-Control": "no-store", "Pragma": "no-cache"})


def add_routes(blueprint: Blueprint) -> None:
    """Register the endpoint."""
    blueprint.add_url_rule("/token", "token", token, methods=["POST"], provide_automatic_options=False)
