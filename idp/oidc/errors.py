"""Errors of the authorization endpoint: to the client when it is certain who asks (RFC 6749 4.1.2.1), else our page."""

from urllib.parse import urlencode

import structlog
from flask import Response, current_app, make_response, render_template

from idp.clock import now
from idp.web.redirects import see_other
from idp.web.request_context import request_id

log = structlog.get_logger()


class RequestRefused(Exception):  # noqa: N818 - what happened, not what failed
    """The request is certain to come from a client: the error goes back to it."""

    def __init__(self, error: str, description: str, redirect_uri: str, state: str | None) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.redirect_uri = redirect_uri
        self.state = state


class RequestUntrusted(Exception):  # noqa: N818 - same
    """Client or redirect URI are not certain: nothing leaves for another site. `phrase` is stable, for automation."""

    def __init__(self, phrase: str) -> None:
        super().__init__(phrase)
        self.phrase = phrase


def answer(redirect_uri: str, parameters: list[tuple[str, str]], state: str | None) -> Response:
    """Send `parameters`, the state byte for byte and `iss` (RFC 9207) to the client, in its redirect URI's query."""
    pairs = list(parameters)
    if state is not None:
        pairs.append(("state", state))
    pairs.append(("iss", current_app.extensions["idp.settings"].issuer))
    return see_other(f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{urlencode(pairs)}")


def refuse(refused: RequestRefused) -> Response:
    """Send an error to the client."""
    pairs = [("error", refused.error)]
    if refused.description:
        pairs.append(("error_description", refused.description))
    return answer(refused.redirect_uri, pairs, refused.state)


def page(untrusted: RequestUntrusted) -> Response:
    """Show the error to the person, with a reference; nothing of the request is repeated."""
    log.warning("request refused", phrase=untrusted.phrase, reference=request_id())
    html = render_template("errors/demande.html", dest=None, reference=request_id(), code=untrusted.phrase, at=now())
    return make_response(html, 400)
