"""Errors of the authorization endpoint: to the client when it is certain who asks (RFC 6749 4.1.2.1), else our page."""

import enum

import structlog
from flask import Response, make_response, render_template, request

from idp.clients import registry
from idp.clock import now
from idp.interaction import store
from idp.oidc.authorization import responses
from idp.oidc.logout import session_state
from idp.sessions import browser_state, manager
from idp.web.request_context import request_id

log = structlog.get_logger()


class RequestRefused(Exception):  # noqa: N818 - what happened, not what failed
    """The request is certain to come from a client: the error goes back to it, in the response mode that it wants."""

    def __init__(
        self,
        error: str,
        description: str,
        *,
        client_id: str,
        redirect_uri: str,
        state: str | None,
        response_mode: str,
    ) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.client_id = client_id
        self.redirect_uri = redirect_uri
        self.state = state
        self.response_mode = response_mode


class Cause(enum.Enum):
    """Why a request leads nowhere, as far as the person is told."""

    CLIENT = "client"
    NO_REDIRECT_URI = "no redirect_uri"
    REDIRECT_URI = "redirect_uri"
    EXPIRED = "expired"
    REQUEST = "request"


class RequestUntrusted(Exception):  # noqa: N818 - same
    """Client or redirect URI are not certain: nothing leaves for another site.

    `phrase` is stable, for automation; `cause` chooses the sentence that the person reads.
    """

    def __init__(self, phrase: str, cause: Cause = Cause.REQUEST) -> None:
        super().__init__(phrase)
        self.phrase = phrase
        self.cause = cause


def refuse(refused: RequestRefused) -> Response:
    """Send an error to the client, with the `session_state` by which it learns what changes (Session Management 2)."""
    pairs = [("error", refused.error)]
    if refused.description:
        pairs.append(("error_description", refused.description))
    state = _browser_state()
    pairs.append(("session_state", session_state.of(state, refused.client_id, refused.redirect_uri)))
    response = responses.send(refused.redirect_uri, pairs, refused.state, refused.response_mode)
    browser_state.keep(response, state)
    return response


def _browser_state() -> str:
    """Return what the browser's state is from now on.

    A session that is over takes it along. A request from inside another site's page comes without the session's cookie:
    that says nothing of the session, and must not sign the person out elsewhere.
    """
    found = manager.current()
    if found:
        return browser_state.value(found[0].sid)
    return "" if manager.cookie_value() else browser_state.kept()


def page(untrusted: RequestUntrusted) -> Response:
    """Show the error to the person, with a reference; nothing of the request is repeated.

    The way back is to the home that the client registered, never to an address of the request.
    """
    log.warning("request refused", phrase=untrusted.phrase, reference=request_id())
    template = "errors/expire.html" if untrusted.cause is Cause.EXPIRED else "errors/demande.html"
    html = render_template(
        template,
        dest=_asking(),
        reference=request_id(),
        code=untrusted.phrase,
        cause=untrusted.cause.value,
        at=now(),
    )
    return make_response(html, 400)


def _asking() -> registry.Registration | None:
    """Return the client that the request names once, or that the request in progress is for."""
    if request.endpoint == "oidc.resume":
        interaction = store.current()
        return registry.find(interaction.request.client_id) if interaction and interaction.request else None
    named = request.values.getlist("client_id")
    return registry.find(named[0]) if len(named) == 1 else None
