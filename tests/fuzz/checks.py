"""Checks for every response, to any request."""

import re

from werkzeug.test import TestResponse

from tests.fuzz.answers import ERROR_MEMBERS, MEMBERS, MORE_ERROR_MEMBERS, NO_HOST, STATUSES
from tests.fuzz.shots import Shot
from tests.fuzz.world import World

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
            no security headers, or is not allowed for the endpoint (`tests.fuzz.answers`).
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
