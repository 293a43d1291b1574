"""Chooses the language of a request.

The first of these that names an offered language decides: the menu of the page, the cookie that remembers an earlier
choice in the menu, the parameter `ui_locales` (OpenID Connect Core 3.1.2.1), and the header `Accept-Language`. If none
does, the language is French. Values that are malformed or unknown count as absent.
"""

from functools import lru_cache

from werkzeug.datastructures import LanguageAccept
from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_accept_header

from idp import languages
from idp.languages import SOURCE, first_offered, offered
from idp.services import services
from idp.web.browser import cookie_name, cookie_options
from idp.web.http import AnyResponse, current_request, has_request

NAME = "langue"
"""The parameter of a link of the menu, and the name of its buttons."""

_COOKIE = "lang"
_REMEMBERED_SECONDS = 180 * 86400
"""The lifetime of the cookie, in seconds: 180 days from the last choice."""
_LONGEST = 200
"""Characters of a header `Accept-Language` that are read."""


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
