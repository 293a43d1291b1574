"""The responses of pages, and the page that a request leads back or onward to."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import quote

from flask import Response, current_app, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from idp.web import http

_View = TypeVar("_View", bound=Callable[..., Any])
_BUTTON_PAGE = "idp_button_page"
# The characters of a path that need no percent-encoding (RFC 3986, 3.3), but for letters and digits.
_PLAIN = "/:@!$&'()*+,;=~"
# The slashes that the path of a page with a form has at most; each is one more lookup for a form without a page.
_DEEPEST_PAGE = 8


def render_page(template: str, status: int = 200, /, **context: Any) -> Response:
    """Return a rendered template as a response."""
    return make_response(render_template(template, **context), status)


def see_other(location: str) -> Response:
    """Return the redirect of `http.see_other` as a response of Flask."""
    return make_response(http.see_other(location))


def shown_page() -> str:
    """Return the path and query of the page that was asked for; for a form without a page, the path of that above.

    It is never one that a browser would read as another host (`//host`, or `/host` with a tab between the slashes).
    """
    asking = http.current_request()
    page = asking.path if asking.method in {"GET", "HEAD"} else _page_above(asking.path)
    query = asking.query_string.decode("latin-1") if page == asking.path else ""
    return f"{_local(page)}?{query}" if query else _local(page)


def button_on(endpoint: str) -> Callable[[_View], _View]:
    """Declare which page has the button of a view without a page, if it is not the nearest page above its path."""

    def declare(view: _View) -> _View:
        setattr(view, _BUTTON_PAGE, endpoint)
        return view

    return declare


def page_of_button() -> str:
    """Return the path of the page with the button whose path was asked for by GET, or of the nearest page above."""
    with suppress(HTTPException):
        endpoint, arguments = current_app.url_map.bind("").match(request.path, "POST")
        if shows := getattr(current_app.view_functions[endpoint], _BUTTON_PAGE, ""):
            return current_app.url_for(shows, **arguments)
    return _local(_page_above(request.path))


def _local(path: str) -> str:
    return "/" + quote(path.lstrip("/\\"), _PLAIN)


def _page_above(path: str) -> str:
    adapter = current_app.url_map.bind("")
    path = "/".join(path.split("/")[: _DEEPEST_PAGE + 1])
    while path and not adapter.test(path, "GET"):
        path = path.rpartition("/")[0]
    return path


_LONGEST = 3000


def next_path() -> str:
    """Return the path of the page that came before a sign-in, the parameter `suite`: of this site only, else `/`."""
    suite = request.args.get("suite", "")
    ours = suite.startswith("/") and not suite.startswith(("//", "/\\")) and suite.isprintable()
    return suite if ours and len(suite) <= _LONGEST else "/"
