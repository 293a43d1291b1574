"""Builds the `Attempt` of a request: the identifier, the secret, the IP and the browser."""

from idp.accounts.authentication import Attempt, Door
from idp.accounts.passwords.hasher import fold_username
from idp.sessions import devices
from idp.web.request_context import remote_ip, user_agent


def of_request(username: str, typed: str, *, door: Door = "reauthentication") -> Attempt:
    """Return the attempt to sign in as `username` with the secret `typed`, at `door`."""
    return Attempt(
        username=username,
        password=typed,
        ip=remote_ip(),
        user_agent=user_agent(),
        device=devices.known(fold_username(username) or ""),
        door=door,
    )
