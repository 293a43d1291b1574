"""Requests of clients to the back-channel endpoints: POST, a form, one authentication, nothing from the query."""

import json
import re
from typing import cast

from flask import Request, Response, request

from idp.clients.registry import Registration
from idp.oidc.client_auth import client
from idp.oidc.parameters import ParameterError, ParsedRequest, parse
from idp.services import services

FORM = "application/x-www-form-urlencoded"
_UNFIT = re.compile(r"[^ !#-\[\]-~]")


class Malformed(Exception):  # noqa: N818 - what it is
    """The request is refused before anybody looks at what it shows: RFC 6749 5.2's `invalid_request`."""

    def __init__(self, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.description = description
        self.status = status

    def response(self) -> Response:
        """Return the answer."""
        return refuse(self.status, "invalid_request", self.description)


def read(http: Request, *required: str) -> dict[str, str]:
    """Return the parameters of the body.

    Raises:
        Malformed: they are not where or as they belong, one that is `required` is missing, or they authenticate in two
            ways at once (RFC 6749 2.3).
    """
    if http.mimetype != FORM:
        raise Malformed(f"the body must be {FORM}", 415)
    if http.query_string:
        raise Malformed("parameters belong in the body")
    try:
        parameters = parse(http.get_data())
    except ParameterError as error:
        raise Malformed(str(error)) from error
    proofs = {"client_secret", "client_assertion"} & parameters.keys()
    if len(proofs) + bool(http.headers.get("Authorization")) > 1:
        raise Malformed("two ways of authentication at once")
    for name in required:
        if name not in parameters:
            raise Malformed(f"{name} is missing")
    return parameters


def authenticated(parameters: dict[str, str], endpoint: str) -> client.ProtocolClient:
    """Return the client that sends the present request, which authenticates as at the token endpoint.

    Raises:
        InvalidClientError: it does not prove who it is.
    """
    parsed = ParsedRequest(request, parameters)
    return cast("client.ProtocolClient", services().server.authenticate_client(parsed, client.AUTH_METHODS, endpoint))


def proven(parameters: dict[str, str], endpoint: str) -> Registration:
    """Return the registration of that client as the database has it: no statement that follows checks its version.

    Raises:
        InvalidClientError: it does not prove who it is, or not by what it must prove now, or has been shut out.
    """
    known = authenticated(parameters, endpoint).registration
    fresh = client.find(known.client_id, fresh=True)
    if fresh is None or not client.still_proves(known, fresh.registration):
        raise client.refused()
    return fresh.registration


def refuse(status: int, error: str, description: str) -> Response:
    """Return an error in the form of RFC 6749 5.2.

    A description is of printable ASCII without double quotes and backslashes, and never empty (A.8).
    """
    described = {"error_description": _UNFIT.sub("?", description)} if description else {}
    return answer({"error": error, **described}, status)


def answer(body: object, status: int = 200) -> Response:
    """Return JSON that nobody may keep (RFC 6749 5.1)."""
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store", "Pragma": "no-cache"}
    return Response(json.dumps(body), status, headers)
