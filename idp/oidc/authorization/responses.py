"""Answers of the authorization endpoint: how they travel to the client (RFC 6749 4.1.2, RFC 9207, Form Post 1.0).

By default in the query of the redirect URI; as a form that the browser posts when the client asked for
`response_mode=form_post`. The fragment is for flows that are not served here.
"""

from urllib.parse import urlencode

from flask import Response, make_response, render_template

from idp.services import services
from idp.web.redirects import see_other
from idp.web.security import POLICY

QUERY, FORM_POST = "query", "form_post"
RESPONSE_MODES = (QUERY, FORM_POST)


def send(redirect_uri: str, parameters: list[tuple[str, str]], state: str | None, response_mode: str = "") -> Response:
    """Send `parameters`, the state byte for byte and `iss` (RFC 9207) to a redirect URI that is certain."""
    pairs = list(parameters)
    if state is not None:
        pairs.append(("state", state))
    pairs.append(("iss", services().settings.issuer))
    if response_mode == FORM_POST:
        return _form(redirect_uri, pairs)
    return see_other(f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{urlencode(pairs)}")


def _form(redirect_uri: str, pairs: list[tuple[str, str]]) -> Response:
    """Show a form that a script of ours sends at once, and its button where no script runs (Form Post 2).

    Its policy has no `form-action`: it goes to another site, which may redirect onward.
    """
    response = make_response(render_template("oidc/form_post.html", action=redirect_uri, fields=pairs))
    response.headers["Content-Security-Policy"] = POLICY
    return response
