"""The rate limit on requests whose client authentication fails.

It never delays a request that authenticates, so that nobody can lock an ENT out by guessing in its name. The response
says after how many seconds to retry. Clients that do not exist have the same limits.
"""

from urllib.parse import unquote_plus

import structlog
from authlib.oauth2.rfc6749 import OAuth2Request

from idp.accounts import alarm
from idp.oidc.client_auth import client
from idp.oidc.keys import jose
from idp.services import services
from idp.throttle import guard, limits
from idp.web.errors import TooManyRequestsError
from idp.web.request_context import remote_ip

log = structlog.get_logger()


def count_failure(request: OAuth2Request) -> None:
    """Count a failed client authentication.

    Raises:
        TooManyRequestsError: There were too many in the name of that client, or from that IP address.
    """
    name = claimed_client(request)
    demands: list[tuple[limits.Limit, str]] = [(limits.CLIENT_PROOF_IP, remote_ip())]
    if name:
        demands.append((limits.CLIENT_PROOF, name))
    if seconds := guard.cached_wait(*demands):  # from memory: a flood must not load the database
        raise TooManyRequestsError(seconds)
    verdict = guard.take_all(*demands)
    if isinstance(verdict, guard.Wait):
        log.warning("client authentication rate-limited", limit=verdict.limit.name, seconds=verdict.seconds)
        raise TooManyRequestsError(verdict.seconds)
    alarm.count_failure(services().settings)


def claimed_client(request: OAuth2Request) -> str:
    """Return the client that an unauthenticated request names, or an empty string."""
    credentials = client.basic_credentials((request.headers or {}).get("Authorization", ""))
    if credentials:
        return unquote_plus(credentials[0])
    try:
        subject = jose.parts(request.form.get("client_assertion", ""))[1].get("sub")
    except jose.InvalidTokenError:
        subject = None
    return subject if isinstance(subject, str) else request.form.get("client_id", "")
