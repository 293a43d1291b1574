"""The menu of languages on each page.

A page without a form has links, which lead back to the page without their parameter. A page with a form has buttons of
that form, so that it is shown again with what was typed, but without passwords. It is answered as a GET: whatever the
form does, a change of language does not do it. The script (`enhance.js`) replaces the page by the answer in place, and
what was typed stays, passwords too, which it does not send.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from flask import Flask, current_app, g, request
from werkzeug.wrappers import Response as WerkzeugResponse

from idp.web import declarations
from idp.web.http import current_request
from idp.web.languages import choice
from idp.web.redirects import see_other

_LONGEST_QUERY = 2000
"""Characters of the other parameters that the links keep. A page has nine links, and anybody may ask for it."""


def configure(app: Flask) -> None:
    """Let the pages of `app` change their language. It comes after the check of the form token."""
    app.before_request(_change)
    app.after_request(_remember)


def chosen() -> str:
    """Return the language that this request chooses for a page that a person reads, or an empty string.

    The answers to programs and to other sites have no menu, and caches may store them: their language changes nothing.
    """
    own = declarations.of(current_app)
    is_menu = request.blueprint not in own.exempt and own.is_for_people(request.path)
    return choice.asked() if is_menu else ""


def url(language: str) -> str:
    """Return the link to this page in another language, with `kept_query`."""
    if "kept_query" not in g:
        g.kept_query = kept_query()
    return f"?{g.kept_query}{choice.NAME}={language}"


def kept_query() -> str:
    """Return the other parameters, each with `&` behind it; empty if they are long: the page has them in each link."""
    query = "" if current_request().has_long_target else urlencode(_other_parameters())
    return f"{query}&" if 0 < len(query) <= _LONGEST_QUERY else ""


@contextmanager
def keeping(query: str) -> Iterator[None]:
    """Render the links of pages with `query`, and not with the parameters of the request."""
    g.kept_query = query
    try:
        yield
    finally:
        del g.kept_query


def _change() -> WerkzeugResponse | None:
    """Redirect a link of the menu; prepare a form to be shown again."""
    if request.url_rule is None or not chosen():
        return None
    if request.method in {"GET", "HEAD"}:
        query = urlencode(_other_parameters())
        return see_other(quote(request.path) + (f"?{query}" if query else ""))
    _show_again()
    return None


def _other_parameters() -> list[tuple[str, str]]:
    """Return the other parameters, repeated ones too: the page of an error may be about them."""
    pairs = parse_qsl(current_request().query_string.decode(errors="replace"), keep_blank_values=True)
    return [(name, value) for name, value in pairs if name != choice.NAME]


def _show_again() -> None:
    """Answer a form as a GET of its page.

    Raises:
        MethodNotAllowed: the form has no page of its own; none of ours has the menu.
    """
    adapter = current_app.create_url_adapter(request)
    if adapter is None:
        return
    request.url_rule, values = adapter.match(method="GET", return_rule=True)
    request.view_args = dict(values)
    request.method = "GET"
    asking = current_request()
    asking.method, asking.shows_again = "GET", True


def _remember(response: Any) -> Any:
    if language := chosen():
        choice.keep(response, language)
    return response
