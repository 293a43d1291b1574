"""Redirects with 303, which browsers follow by GET, so that a password is not sent on (RFC 9700 4.12)."""

from flask import Response, make_response, redirect


def see_other(location: str) -> Response:
    """Return a redirect to `location`, which must be built or checked by our code, never taken from a request."""
    response = make_response(redirect(location, 303))
    response.autocorrect_location_header = False
    return response
