"""`GET /charter`, `POST /charter/acceptance`: for ENTs that show their charter themselves (Bearer token, RFC 6750)."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, make_response, request

from idp.charter import service
from idp.charter.service import Current
from idp.web.declarations import for_programs
from idp.web.request_context import remote_ip


@dataclass(frozen=True)
class Bearer:
    """The account and the client of an access token with scope `charter`.

    `shows_charter` is false if this service shows the client's charter: the client then may not report acceptances.
    """

    account_id: uuid.UUID
    client_id: uuid.UUID
    shows_charter: bool


Authenticate = Callable[[], Bearer | Response]
"""Reads the token of the present request; returns a `Bearer`, or the response that refuses it (RFC 6750 3)."""


def blueprint(authenticate: Authenticate) -> Blueprint:
    """Return the blueprint of the two routes; `authenticate` comes from the protocol's layer, above this one."""
    routes = Blueprint("charter_api", __name__)

    @routes.get("/charter")
    @for_programs
    def show() -> Response:
        bearer = authenticate()
        if isinstance(bearer, Response):
            return bearer
        charter = service.current(bearer.client_id, bearer.account_id)
        if charter is None:
            return _error(404, "no_charter", "this client has published no charter")
        return _json(200, charter)

    @routes.post("/charter/acceptance")
    @for_programs
    def accept() -> Response:
        bearer = authenticate()
        if isinstance(bearer, Response):
            return bearer
        if not bearer.shows_charter:
            return _error(403, "access_denied", "the provider shows the charter of this client (--charter provider)")
        version = _version()
        if version is None:
            return _error(400, "invalid_request", 'the body must be JSON: {"version": "…"}')
        try:
            accepted = service.accept(bearer.client_id, bearer.account_id, version, ip=remote_ip(), shown_by="ent")
        except service.AccountRemovedError:
            return accept()  # the token was removed with the account: now it is refused
        except service.UnknownVersionError:
            return _conflict(bearer)
        return _json(200, accepted)

    return routes


def _conflict(bearer: Bearer) -> Response:
    """Return the charter that is current instead of the version that was sent."""
    charter = service.current(bearer.client_id, bearer.account_id)
    if charter is None:
        return _error(404, "no_charter", "this client has published no charter")
    return _json(409, charter, error="version_conflict")


def _version() -> str | None:
    try:
        body = request.get_json(silent=True) if request.is_json else None
    except RecursionError:  # deeply nested JSON: `silent` does not cover this error
        return None
    version = body.get("version") if isinstance(body, dict) else None
    return version if isinstance(version, str) and 0 < len(version) <= service.LONGEST_VERSION else None


def _json(status: int, charter: Current, **more: str) -> Response:
    body: dict[str, Any] = {
        **more,
        "version": charter.version.version,
        "published_at": charter.version.published_at.isoformat(),
        "markdown": charter.version.text,
        "html": service.render(charter.version.text),
        "accepted": charter.accepted_at is not None,
    }
    if charter.accepted_at:
        body["accepted_at"] = int(charter.accepted_at.timestamp())
    return make_response(body, status)


def _error(status: int, code: str, description: str) -> Response:
    return make_response({"error": code, "error_description": description}, status)
