"""The rate limits of the authorization endpoint, for each session and each network.

An ENT that sends the browser back after each response makes a redirect loop, and each request of a live session stores
a code. Requests are counted in the memory of each process, so that the limits need no statement.

Requests are counted before they are checked, so one machine behind a school's IP address can exhaust the limit of the
network. This must not stop parents who are signed in there. A session has a limit of its own: once the database has
confirmed that a cookie belongs to a live session, the process remembers the cookie, and the limit of the network does
not apply to it. Nobody can make such a cookie without signing in. An unknown cookie counts for the network: looking it
up would cost the statement that the limit saves.
"""

from typing import NoReturn

from flask_babel import gettext

from idp.oidc.authorization.checks import check
from idp.oidc.authorization.errors import RequestRefusedError, UntrustedRequestError
from idp.services import services
from idp.sessions import manager
from idp.throttle import limits, local
from idp.web.errors import TooManyRequestsError
from idp.web.request_context import remote_ip

_LIVE = "live session"


def seconds_to_wait() -> int:
    """Count this request; return 0, or the seconds to wait if it exceeds a limit."""
    cookie = manager.cookie_value()
    session = [(limits.AUTHORIZE_SESSION, cookie)] if cookie else []
    if cookie and local.is_marked(_LIVE, cookie):
        return local.take(*session)
    return local.take((limits.AUTHORIZE_NETWORK, remote_ip()), *session)


def note_live_session() -> None:
    """Remember that the cookie of this request belongs to a live session, which the database has confirmed."""
    if cookie := manager.cookie_value():
        local.mark(_LIVE, cookie)


def refuse(encoded: bytes, seconds: int) -> NoReturn:
    """Refuse a request that exceeds a limit.

    A page ends a redirect loop and says when to retry. With `prompt=none`, a script waits for the response in a hidden
    frame, so the error is sent to the client.

    Raises:
        RequestRefusedError: `temporarily_unavailable` (RFC 6749 4.1.2.1), for `prompt=none`.
        TooManyRequestsError: Otherwise.
    """
    if b"none" in encoded or b"request_uri" in encoded:
        try:
            requested = check(services().settings, services().server.ring, encoded).request
        except (UntrustedRequestError, RequestRefusedError):
            stop(seconds)
        if requested.prompt == "none":
            description = f"too many requests, retry after {seconds} seconds"
            raise RequestRefusedError("temporarily_unavailable", description, requested)
    stop(seconds)


def stop(seconds: int) -> NoReturn:
    """Raise the error whose page ends a redirect loop.

    Raises:
        TooManyRequestsError: Always.
    """
    raise TooManyRequestsError(
        seconds,
        sentence=gettext("Il y a eu trop de demandes de connexion en peu de temps. Attendez, puis revenez à l’ENT."),
    )
