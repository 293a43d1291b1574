"""The budget of the authorization endpoint, for each session and each network.

A request of a session that owes nothing stores a code, and an ENT that sends the browser back on each answer makes a
loop of such requests. Requests are counted in the memory of each process, so that a right one costs the database no
more than before.

Requests are counted before they are checked, so one machine behind a school's address can use up the budget of the
network. It must not stop the parents who are signed in there. A session has its own budget; once the database has said
that its cookie is the one of a live session, the process remembers that, and the network's budget neither counts nor
refuses the requests of this cookie. Nobody can make such a cookie without a sign-in. A cookie that the process has not
seen yet could be anything: to look it up would cost the statement that the budget is there to save.
"""

from typing import NoReturn

from flask_babel import gettext

from idp.oidc.authorization.checks import check
from idp.oidc.authorization.errors import RequestRefused, RequestUntrusted
from idp.services import services
from idp.sessions import manager
from idp.throttle import limits, local
from idp.web.errors import TooManyRequestsError
from idp.web.request_context import remote_ip

_LIVE = "live session"


def seconds_to_wait() -> int:
    """Count this request; return the seconds until there is room for it, 0 when there is."""
    cookie = manager.cookie_value()
    session = [(limits.AUTHORIZE_SESSION, cookie)] if cookie else []
    if cookie and local.is_marked(_LIVE, cookie):
        return local.take(*session)
    return local.take((limits.AUTHORIZE_NETWORK, remote_ip()), *session)


def note_live_session() -> None:
    """Remember that the cookie of this request belongs to a live session; call it once the database has said so."""
    if cookie := manager.cookie_value():
        local.mark(_LIVE, cookie)


def refuse(encoded: bytes, seconds: int) -> NoReturn:
    """Refuse a request for which there is no room.

    A page of ours ends a redirect loop, and says when to try again. Who asks with `prompt=none` is a script that waits
    for an answer in a hidden frame: the error goes back to it.

    Raises:
        RequestRefused: `temporarily_unavailable` (RFC 6749 4.1.2.1), for `prompt=none`.
        TooManyRequestsError: for all others.
    """
    if b"none" in encoded or b"request_uri" in encoded:
        try:
            wanted = check(services().settings, services().server.ring, encoded).request
        except (RequestUntrusted, RequestRefused):
            stop(seconds)
        if wanted.prompt == "none":
            raise RequestRefused(
                "temporarily_unavailable",
                f"too many requests, the next one in {seconds} seconds",
                client_id=wanted.client_id,
                redirect_uri=wanted.redirect_uri,
                state=wanted.state,
                response_mode=wanted.response_mode,
            )
    stop(seconds)


def stop(seconds: int) -> NoReturn:
    """Show the page that ends a loop.

    Raises:
        TooManyRequestsError: always.
    """
    raise TooManyRequestsError(
        seconds,
        sentence=gettext("Il y a eu trop de demandes de connexion en peu de temps. Attendez, puis revenez à l’ENT."),
    )
