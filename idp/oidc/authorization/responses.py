"""Sends the responses of the authorization endpoint to the client (RFC 6749 4.1.2, RFC 9207, Form Post 1.0).

They are sent in the query of the redirect URI, or with `response_mode=form_post` as a form that the browser posts.
"""

from urllib.parse import urlencode

from idp.services import services
from idp.web.door import pages
from idp.web.http import Response, see_other
from idp.web.security import POLICY

QUERY, FORM_POST = "query", "form_post"
RESPONSE_MODES = (QUERY, FORM_POST)


def send(redirect_uri: str, parameters: list[tuple[str, str]], state: str | None, response_mode: str = "") -> Response:
    """Send `parameters`, the unchanged state and `iss` (RFC 9207) to a checked redirect URI."""
    pairs = list(parameters)
    if state is not None:
        pairs.append(("state", state))
    pairs.append(("iss", services().settings.issuer))
    if response_mode == FORM_POST:
        return _form(redirect_uri, pairs)
    return see_other(f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{urlencode(pairs)}")


def _form(redirect_uri: str, pairs: list[tuple[str, str]]) -> Response:
    """Return a page with a form that a script submits, with a button for browsers without scripts (Form Post 2).

    Its Content-Security-Policy has no `form-action`, since the form goes to another site, which may redirect.
    """
    response = pages.render("oidc/form_post.html", action=redirect_uri, fields=pairs)
    response.headers.append(("Content-Security-Policy", POLICY))
    return response
