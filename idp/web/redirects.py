"""Redirects of pages."""

from flask import Response, make_response

from idp.web import http


def see_other(location: str) -> Response:
    """Return the redirect of `http.see_other` as a response of Flask."""
    return make_response(http.see_other(location))
