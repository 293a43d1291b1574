"""The brake on requests that prove no client: what a flood of wrong secrets and signatures may cost.

A right proof never meets it, so that nobody shuts an ENT out by guessing in its name. Nor does anybody wait in a thread
of ours: the answer says after how many seconds to ask again. The same counts hold for clients that do not exist.
"""

from urllib.parse import unquote_plus

import structlog
from authlib.oauth2.rfc6749 import OAuth2Request

from idp.accounts import alarm
from idp.oidc.client_auth import client
from idp.oidc.keys import jose
from idp.services import services
from idp.throttle import guard, limits
from idp.web.errors import TooManyTries
from idp.web.request_context import remote_address

log = structlog.get_logger()


def count_failure(request: OAuth2Request) -> None:
    """Count a request that proved no client.

    Raises:
        TooManyTries: there were too many of late, in that client's name or from that address.
    """
    name = named(request)
    demands: list[tuple[limits.Limit, str]] = [(limits.CLIENT_PROOF_ADDRESS, remote_address())]
    if name:
        demands.append((limits.CLIENT_PROOF, name))
    if seconds := guard.held(*demands):  # a flood costs the database nothing
        raise TooManyTries(seconds)
    verdict = guard.take_all(*demands)
    if isinstance(verdict, guard.Wait):
        log.warning("client authentication slowed", limit=verdict.limit.name, seconds=verdict.seconds)
        raise TooManyTries(verdict.seconds)
    alarm.count_failure(services().settings)


def named(request: OAuth2Request) -> str:
    """Return the client in whose name a request comes, as it says without proof; empty when it does not say."""
    credentials = client.basic_credentials((request.headers or {}).get("Authorization", ""))
    if credentials:
        return unquote_plus(credentials[0])
    try:
        subject = jose.parts(request.form.get("client_assertion", ""))[1].get("sub")
    except jose.BadToken:
        subject = None
    return subject if isinstance(subject, str) else request.form.get("client_id", "")
