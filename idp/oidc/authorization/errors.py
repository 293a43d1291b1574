"""Responses of the authorization endpoint (RFC 6749 4.1.2, RFC 9207, Form Post 1.0), and its errors (4.1.2.1).

Errors are sent to the client, or shown if it cannot be trusted.
Responses are sent in the query of the redirect URI, or with `response_mode=form_post` as a form that the browser posts.
"""

import enum
from urllib.parse import parse_qsl, urlencode

import structlog

from idp.clients import registry
from idp.clock import now
from idp.interaction import store
from idp.oidc.logout import front_channel
from idp.services import services
from idp.sessions import cookies, manager
from idp.web import declarations, endpoints
from idp.web.http import Request, Response, see_other
from idp.web.request_context import request_id
from idp.web.security import POLICY

QUERY, FORM_POST = "query", "form_post"
RESPONSE_MODES = (QUERY, FORM_POST)


def send(requested: store.AuthorizationRequest, parameters: list[tuple[str, str]]) -> Response:
    """Send `parameters`, the unchanged state and `iss` (RFC 9207) to the checked redirect URI of a request."""
    redirect_uri, state = requested.redirect_uri, requested.state
    given = [("state", state)] if state is not None else []
    pairs = [*parameters, *given, ("iss", services().settings.issuer)]
    if requested.response_mode == FORM_POST:
        return _form(redirect_uri, pairs)
    return see_other(f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{urlencode(pairs)}")


def _form(redirect_uri: str, pairs: list[tuple[str, str]]) -> Response:
    """Return a page with a form that a script submits, with a button for browsers without scripts (Form Post 2).

    Its Content-Security-Policy has no `form-action`, since the form goes to another site, which may redirect.
    """
    response = endpoints.render("oidc/form_post.html", action=redirect_uri, fields=pairs)
    response.headers.append(("Content-Security-Policy", POLICY))
    return response


log = structlog.get_logger()


class RequestRefusedError(Exception):
    """Client and redirect URI of `requested` are valid: the error is sent to the client, in its response mode."""

    def __init__(self, error: str, description: str, requested: store.AuthorizationRequest) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.requested = requested


class Cause(enum.Enum):
    """The cause of an error that is shown to the person."""

    CLIENT = "client"
    NO_REDIRECT_URI = "no redirect_uri"
    REDIRECT_URI = "redirect_uri"
    EXPIRED = "expired"
    REQUEST = "request"


class UntrustedRequestError(Exception):
    """No error can be sent to the client, mostly because client or redirect URI is invalid: it is shown on a page.

    `phrase` is a stable text for automation, and `cause` selects the sentence for the person.
    """

    def __init__(self, phrase: str, cause: Cause = Cause.REQUEST) -> None:
        super().__init__(phrase)
        self.phrase = phrase
        self.cause = cause


def refuse(refused: RequestRefusedError) -> Response:
    """Send an error to the client, with `session_state` (Session Management 2)."""
    requested, pairs = refused.requested, [("error", refused.error)]
    if refused.description:
        pairs.append(("error_description", refused.description))
    state = _browser_state()
    pairs.append(("session_state", front_channel.session_state_of(state, requested.client_id, requested.redirect_uri)))
    response = send(requested, pairs)
    cookies.keep_browser_state(response, state)
    return response


def _browser_state() -> str:
    """Return the new browser state: that of the live session, or empty if the cookie's session is over.

    A request from a frame of another site has no session cookie. Then the state is kept: to change it would tell other
    clients that the person signed out.
    """
    signed_in = manager.current()
    if signed_in:
        return cookies.browser_state(signed_in[0].sid)
    return "" if manager.cookie_value() else cookies.kept_browser_state()


def page(request: Request, untrusted: UntrustedRequestError) -> Response:
    """Show the error to the person, with a reference for support.

    The page repeats nothing of the request. Its link leads to the client's registered home, never to a URL of the
    request.
    """
    log.warning("authorization request refused", phrase=untrusted.phrase, reference=request_id())
    if untrusted.cause is Cause.CLIENT:
        return endpoints.from_memory("errors/demande.html", 400, code=untrusted.phrase, cause=untrusted.cause.value)
    template = "errors/expire.html" if untrusted.cause is Cause.EXPIRED else "errors/demande.html"
    return endpoints.render(
        template,
        status=400,
        dest=_client(request),
        reference=request_id(),
        code=untrusted.phrase,
        cause=untrusted.cause.value,
        at=now(),
    )


def _client(request: Request) -> registry.Registration | None:
    if request.path == declarations.url("oidc.resume"):
        return store.client_of(store.current())
    pairs = parse_qsl(b"&".join(filter(None, (request.query_string, request.form))).decode(errors="replace"))
    client_ids = [value for name, value in pairs if name == "client_id"]
    return registry.find(client_ids[0]) if len(client_ids) == 1 else None
