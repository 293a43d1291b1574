"""The rules of a change of password by the signed-in person (security rows M-02, M-03)."""

import uuid
from dataclasses import dataclass

from idp.accounts import authentication, emails, one_time_links
from idp.accounts.authentication import Attempt, Refused, Throttled, VerifiedSecret
from idp.accounts.one_time_links import Purpose
from idp.accounts.passwords.hasher import Hasher, HasherBusyError
from idp.audit import log
from idp.audit.credential_events import PasswordChanged
from idp.config import Settings
from idp.db import unit_of_work
from idp.my_account.reauthentication import proof
from idp.passkeys import keys
from idp.sessions import manager


@dataclass(frozen=True)
class Changed:
    """The password was changed; `cookie` is the value of the session that continues."""

    cookie: str


@dataclass(frozen=True)
class _Unhashed:
    """The present password was right, but the new one could not be hashed in time: nothing changed."""

    retry_after: int


def change(
    settings: Settings, hasher: Hasher, attempt: Attempt, session_id: uuid.UUID, new: str, *, without_passkeys: bool
) -> Changed | Refused | Throttled:
    """Replace the password of `attempt`, if it is right, by `new`, which the policy accepts.

    `without_passkeys` also removes the passkeys.

    Raises:
        HasherBusyError: a hash could not be computed in time; nothing was decided.
    """
    outcome: Changed | _Unhashed | Refused | Throttled = authentication.verify_secret(
        settings,
        hasher,
        attempt,
        lambda verified: _admit(hasher, verified, session_id, new, without_passkeys=without_passkeys),
    )
    if isinstance(outcome, _Unhashed):
        raise HasherBusyError(outcome.retry_after)
    return outcome


def _admit(
    hasher: Hasher, verified: VerifiedSecret, session_id: uuid.UUID, new: str, *, without_passkeys: bool
) -> Changed | _Unhashed | None:
    """Change the password in one transaction: this browser's session continues under another id, all others end."""
    try:
        hashed = hasher.hash(new, "activation")
    except HasherBusyError as busy:  # returned, not raised: the password was right, so its try must not stay counted
        return _Unhashed(busy.retry_after)
    return _set(verified, session_id, hashed, without_passkeys=without_passkeys)


@unit_of_work()
def _set(verified: VerifiedSecret, session_id: uuid.UUID, hashed: str, *, without_passkeys: bool) -> Changed | None:
    locked = proof.lock(verified, session_id)
    if locked is None:
        return None
    account, session = locked
    account.set_password(hashed)
    emails.cancel_change(account)  # somebody who knew the former password may have asked for it
    one_time_links.revoke(account.id, Purpose.RESET_PASSWORD)
    manager.end_all(account.id, by="password_changed", keep=session.id)
    cookie = manager.renew(session, account)
    log.record(PasswordChanged(account_id=account.id))
    keys.tell_new_password(account.id, removes=without_passkeys)
    return Changed(cookie)
