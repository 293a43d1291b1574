"""The try of a secret that a request brings: who is asked for, from which network and from which browser."""

from idp.accounts.authentication import Attempt, Door
from idp.accounts.passwords.hasher import fold_username
from idp.sessions import devices
from idp.web.request_context import remote_ip, user_agent


def of_request(username: str, typed: str, *, door: Door = "reauthentication") -> Attempt:
    """Return the try of `typed` for the account `username`, as people type it, at `door`."""
    return Attempt(
        username=username,
        password=typed,
        address=remote_ip(),
        user_agent=user_agent(),
        device=devices.known(fold_username(username) or ""),
        door=door,
    )
