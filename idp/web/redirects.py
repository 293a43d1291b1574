"""Redirects of pages, and the page that a request leads back to."""

from flask import Response, current_app, make_response, request

from idp.web import http


def see_other(location: str) -> Response:
    """Return the redirect of `http.see_other` as a response of Flask."""
    return make_response(http.see_other(location))


def shown_page() -> str:
    """Return the path and query of the page that was asked for; for a form without a page, the path of that above.

    It is never a path that a browser would read as another host (`//host`).
    """
    adapter, page = current_app.url_map.bind(""), request.path
    while page and request.method not in {"GET", "HEAD"} and not adapter.test(page, "GET"):
        page = page.rpartition("/")[0]
    query = request.query_string.decode("latin-1") if page == request.path else ""
    return "/" + (f"{page}?{query}" if query else page).lstrip("/\\")
