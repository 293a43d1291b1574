"""The language of a request, and the menu of languages on each page.

A page without a form has links, which lead back to the page without their parameter. A page with a form has buttons of
that form, so that it is shown again with what was typed, but without passwords. It is answered as a GET: whatever the
form does, a change of language does not do it. The script (`enhance.js`) replaces the page by the answer in place, and
what was typed stays, passwords too, which it does not send.

The first of these that names an offered language decides for a request: the menu of the page, the cookie that remembers
an earlier choice in the menu, the parameter `ui_locales` (OpenID Connect Core 3.1.2.1), and the header
`Accept-Language`. If none does, the language is French. Values that are malformed or unknown count as absent.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from flask import Flask, current_app, g, request
from werkzeug.datastructures import LanguageAccept
from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_accept_header
from werkzeug.wrappers import Response as WerkzeugResponse

from idp import languages
from idp.languages import SOURCE, first_offered, offered
from idp.services import services
from idp.web import declarations
from idp.web.browser import cookie_name, cookie_options
from idp.web.http import AnyResponse, current_request, has_request
from idp.web.redirects import see_other

NAME = "langue"  # the parameter of a link of the menu, and the name of its buttons

_COOKIE = "lang"
_REMEMBERED_SECONDS = 180 * 86400  # the lifetime of the cookie, in seconds: 180 days from the last choice
_LONGEST = 200  # characters of a header `Accept-Language` that are read


def choose_language() -> str:
    """Return the language of the request; outside a request, French."""
    if not has_request():
        return SOURCE
    asking = current_request()
    requested = asked() or kept() or first_offered(asking.arguments.get("ui_locales", ""))
    if requested:
        return requested
    return _preferred(asking.header("Accept-Language")[:_LONGEST], languages.OFFERED)


@lru_cache(maxsize=500)
def _preferred(header: str, _offered: tuple[str, ...]) -> str:
    """Return the language of a header `Accept-Language`; few different ones occur, and parsing one takes long."""
    accepted = parse_accept_header(header, LanguageAccept)
    return next(filter(None, (offered(tag) for tag, quality in accepted if quality)), SOURCE)


def asked() -> str:
    """Return the language that this request chooses in the menu, or an empty string."""
    asking = current_request()
    if asking.method != "POST" and not asking.shows_again:
        return offered(asking.arguments.get(NAME, ""))
    try:
        return offered(asking.fields.get(NAME, ""))
    except HTTPException:  # a form that is too long gets an error page, which has a language too
        return ""


def kept() -> str:
    """Return the language that a person chose in this browser before, or an empty string."""
    return offered(current_request().cookies.get(cookie_name(services().settings, _COOKIE), ""))


def keep(response: AnyResponse, language: str) -> None:
    """Remember in this browser, by a cookie, that the person chose `language`."""
    settings = services().settings
    response.set_cookie(
        cookie_name(settings, _COOKIE), language, max_age=_REMEMBERED_SECONDS, **cookie_options(settings)
    )


# Characters of the other parameters that the links keep. A page has nine links, and anybody may ask for it.
_LONGEST_QUERY = 2000


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
    return asked() if is_menu else ""


def url(language: str) -> str:
    """Return the link to this page in another language, with `kept_query`."""
    if "kept_query" not in g:
        g.kept_query = kept_query()
    return f"?{g.kept_query}{NAME}={language}"


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
    return [(name, value) for name, value in pairs if name != NAME]


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
        keep(response, language)
    return response
