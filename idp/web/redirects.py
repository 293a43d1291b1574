"""Leaving a page: always 303, so that the browser follows by GET and never sends a password on (RFC 9700 4.12)."""

from flask import Response, make_response, redirect


def see_other(location: str) -> Response:
    """Return a redirect to `location`, which our own code made or checked: never a value taken from a request."""
    response = make_response(redirect(location, 303))
    response.autocorrect_location_header = False
    return response
