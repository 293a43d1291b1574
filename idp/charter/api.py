"""`GET /charter`, `POST /charter/acceptance`: for ENTs that show their charter themselves (Bearer token, RFC 6750)."""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from idp.charter import service
from idp.web.declarations import Trait, declares
from idp.web.endpoints import Endpoint
from idp.web.http import Request, Response, json_response


@dataclass(frozen=True)
class Bearer:
    """The account and the client of an access token with scope `charter`.

    `shows_charter` is false if this service shows the client's charter: the client then may not report acceptances.
    """

    account_id: uuid.UUID
    client_id: uuid.UUID
    shows_charter: bool


Authenticate = Callable[[Request], Bearer | Response]
"""Reads the token of a request; returns a `Bearer`, or the response that refuses it (RFC 6750 3)."""


def endpoints(authenticate: Authenticate) -> tuple[Endpoint, ...]:
    """Return the two endpoints; `authenticate` comes from the protocol's layer, above this one."""

    @declares(Trait.FOR_PROGRAMS)
    def show(request: Request) -> Response:
        bearer = authenticate(request)
        if isinstance(bearer, Response):
            return bearer
        charter = service.current(bearer.client_id, bearer.account_id)
        if charter is None:
            return _error(404, "no_charter", "this client has published no charter")
        return _json(200, charter)

    @declares(Trait.FOR_PROGRAMS)
    def accept(request: Request) -> Response:
        bearer = authenticate(request)
        if isinstance(bearer, Response):
            return bearer
        if not bearer.shows_charter:
            return _error(403, "access_denied", "the provider shows the charter of this client")
        version = _version(request)
        if version is None:
            return _error(400, "invalid_request", 'the body must be JSON: {"version": "…"}')
        try:
            accepted = service.accept(
                bearer.client_id, bearer.account_id, version, ip=request.remote_ip, shown_by="ent"
            )
        except service.AccountRemovedError:
            return accept(request)  # the token was removed with the account: now it is refused
        except service.UnknownVersionError:
            return _conflict(bearer)
        return _json(200, accepted)

    return Endpoint("/charter", "show", show, ("GET",)), Endpoint("/charter/acceptance", "accept", accept, ("POST",))


def _conflict(bearer: Bearer) -> Response:
    charter = service.current(bearer.client_id, bearer.account_id)
    if charter is None:
        return _error(404, "no_charter", "this client has published no charter")
    return _json(409, charter, error="version_conflict")


def _version(request: Request) -> str | None:
    if request.media_type != "application/json":
        return None
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    version = body.get("version") if isinstance(body, dict) else None
    return version if isinstance(version, str) and 0 < len(version) <= service.LONGEST_VERSION else None


def _json(status: int, charter: service.Current, **more: str) -> Response:
    body: dict[str, Any] = {
        **more,
        "version": charter.version.version,
        "published_at": charter.version.published_at.isoformat(),
        "markdown": charter.version.text,
        "html": service.as_html(charter.version.text),
        "accepted": charter.accepted_at is not None,
    }
    if charter.accepted_at:
        body["accepted_at"] = int(charter.accepted_at.timestamp())
    return json_response(body, status)


def _error(status: int, code: str, description: str) -> Response:
    return json_response({"error": code, "error_description": description}, status)
