"""Checks for every response, to any request."""

import re

from werkzeug.test import TestResponse

from tests.fuzz.bends import Shot
from tests.fuzz.world import World

_REFUSED = {400, 401, 413, 414, 429}
_TOKEN_REFUSED = {400, 401, 413, 414}
_BODY_REFUSED = {*_REFUSED, 415}
_METADATA = {
    *("redirect_uris", "client_name", "scope", "grant_types", "response_types", "token_endpoint_auth_method"),
    *("token_endpoint_auth_signing_alg", "jwks", "jwks_uri", "subject_type", "sector_identifier_uri"),
    *("id_token_signed_response_alg", "userinfo_signed_response_alg", "default_max_age", "require_auth_time"),
    *("initiate_login_uri", "post_logout_redirect_uris", "backchannel_logout_uri", "frontchannel_logout_uri"),
    *("require_pushed_authorization_requests", "dpop_bound_access_tokens", "backchannel_logout_session_required"),
    *("frontchannel_logout_session_required", "default_acr_values", "application_type", "software_id"),
    *("software_version", "client_uri", "logo_uri", "policy_uri", "tos_uri", "contacts"),
}
_CLIENT = {
    *_METADATA,
    *("client_id", "client_id_issued_at", "client_secret", "client_secret_expires_at", "registration_access_token"),
    *("registration_client_uri", "pending_approval"),
}
_CHARTER = {"version", "published_at", "markdown", "html", "accepted", "accepted_at"}

STATUSES = {
    "POST /token": {200, *_BODY_REFUSED},
    "POST /par": {201, *_BODY_REFUSED},
    "POST /revoke": {200, *_BODY_REFUSED},
    "POST /introspect": {200, *_BODY_REFUSED},
    "GET /userinfo": {200, *_TOKEN_REFUSED},
    "POST /userinfo": {200, *_TOKEN_REFUSED},
    "GET /charter": {200, 403, 404, *_TOKEN_REFUSED},
    "POST /charter/acceptance": {200, 403, 404, 409, *_TOKEN_REFUSED},
    "POST /register": {201, *_BODY_REFUSED},
    "GET /register/<client_id>": {200, *_REFUSED},
    "PUT /register/<client_id>": {200, *_BODY_REFUSED},
    "DELETE /register/<client_id>": {204, *_REFUSED},
}
"""The allowed statuses of each route, besides those of an overloaded server."""

NO_HOST = {405}
"""The status of a request with an invalid `Host`: it matches no route."""

MEMBERS = {
    "POST /token": {"access_token", "token_type", "expires_in", "id_token", "refresh_token", "scope"},
    "POST /par": {"request_uri", "expires_in"},
    "POST /revoke": set[str](),
    "POST /introspect": {
        *("active", "iss", "client_id", "aud", "sub", "scope", "exp", "auth_time", "acr", "cnf", "token_type"),
    },
    "GET /charter": _CHARTER,
    "POST /charter/acceptance": _CHARTER,
    "POST /register": _CLIENT,
    "GET /register/<client_id>": _CLIENT,
    "PUT /register/<client_id>": _CLIENT,
}
"""The allowed members of a successful response, without claims, which have their own tests."""

ERROR_MEMBERS = {"error", "error_description"}
MORE_ERROR_MEMBERS = {("POST /charter/acceptance", 409): _CHARTER}
"""A charter of another version was accepted: the answer has the present one."""


MOST_BYTES = 500_000
"""Far more than the largest page and the largest file of the service."""
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
}
_REGISTRATION = re.compile(r"^/register/[\w-]+$", re.ASCII)
_TRACE = re.compile(rb"Traceback|sqlalchemy|psycopg", re.IGNORECASE)


class UnsoundError(AssertionError):
    """A response that is never allowed."""


def check(world: World, shot: Shot, answer: TestResponse) -> None:
    """Check the response to a valid or invalid request.

    Raises:
        UnsoundError: the response is a server error, shows a traceback, redirects to an unknown site, is very long, has
            no security headers, or is not allowed for the endpoint (`tests.fuzz.checks`).
    """
    text = answer.get_data()
    if answer.status_code >= 500:
        raise UnsoundError(f"{answer.status_code} {text[:300]!r}")
    if not answer.request.path.startswith("/static/") and _TRACE.search(text):
        raise UnsoundError(f"a trace is shown: {text[:300]!r}")
    if len(text) > MOST_BYTES:
        raise UnsoundError(f"the answer has {len(text)} bytes")
    location = answer.headers.get("Location")
    if location is not None and not world.may_lead_to(location):
        raise UnsoundError(f"redirects to {location[:200]!r}")
    missing = sorted(name for name, value in _HEADERS.items() if answer.headers.get(name) != value)
    if answer.mimetype == "text/html" and "Content-Security-Policy" not in answer.headers:
        missing.append("Content-Security-Policy")
    if missing:
        raise UnsoundError(f"no header {', '.join(missing)}")
    _check_endpoint(_endpoint(shot), answer)


def check_right(shot: Shot, answer: TestResponse) -> None:
    """Check the response to a valid request.

    Raises:
        UnsoundError: the request was refused.
    """
    if shot.right is None:
        return
    status, leads_to = shot.right
    location = answer.headers.get("Location", "")
    if answer.status_code != status or not location.startswith(leads_to):
        got = answer.status_code, location
        raise UnsoundError(f"a right request got {got} and not {shot.right}: {answer.get_data()[:2000]!r}")


def _endpoint(shot: Shot) -> str:
    return f"{shot.method} {_REGISTRATION.sub('/register/<client_id>', shot.path)}"


def _check_endpoint(name: str, answer: TestResponse) -> None:
    if name not in STATUSES:
        return
    status = answer.status_code
    if status not in STATUSES[name] | NO_HOST:
        raise UnsoundError(f"{name} has no answer {status}: {answer.get_data()[:200]!r}")
    if status == 204:
        return
    body = answer.get_json(silent=True)
    if status < 400:
        if name in MEMBERS and (not isinstance(body, dict) or not body.keys() <= MEMBERS[name]):
            raise UnsoundError(f"{name} has unknown members: {answer.get_data()[:200]!r}")
        return
    # a request without a token gets no error code (RFC 6750, 3.1)
    allowed = ERROR_MEMBERS | MORE_ERROR_MEMBERS.get((name, status), set())
    needed = "error_description" if status == 401 and "WWW-Authenticate" in answer.headers else "error"
    if not isinstance(body, dict) or not isinstance(body.get(needed), str) or not body.keys() <= allowed:
        raise UnsoundError(f"no error in JSON: {status} {answer.get_data()[:200]!r}")
