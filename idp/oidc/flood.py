"""The budget of the authorization endpoint, for each session and each network.

A request of a session that owes nothing stores a code, and an ENT that sends the browser back on each answer makes a
loop of such requests. Requests are counted in the memory of each process, so that a right one costs the database no
more than before.
"""

from typing import NoReturn

from flask_babel import gettext

from idp.oidc.errors import RequestRefused, RequestUntrusted
from idp.oidc.request import check
from idp.oidc.server import of_app
from idp.sessions import manager
from idp.throttle import limits, local
from idp.web.errors import TooManyTries
from idp.web.request_context import remote_address


def seconds_to_wait() -> int:
    """Count this request; return the seconds until there is room for it, 0 when there is."""
    demands = [(limits.AUTHORIZE_NETWORK, remote_address())]
    if cookie := manager.cookie_value():
        demands.append((limits.AUTHORIZE_SESSION, cookie))
    return local.take(*demands)


def refuse(encoded: bytes, seconds: int) -> NoReturn:
    """Refuse a request for which there is no room.

    A page of ours ends a redirect loop, and says when to try again. Who asks with `prompt=none` is a script that waits
    for an answer in a hidden frame: the error goes back to it.

    Raises:
        RequestRefused: `temporarily_unavailable` (RFC 6749 4.1.2.1), for `prompt=none`.
        TooManyTries: for all others.
    """
    if b"none" in encoded or b"request_uri" in encoded:
        server = of_app()
        try:
            wanted = check(server.settings, server.ring, encoded).request
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
        TooManyTries: always.
    """
    raise TooManyTries(
        seconds,
        sentence=gettext("Il y a eu trop de demandes de connexion en peu de temps. Attendez, puis revenez à l’ENT."),
    )
