"""The rules of a change of password by the signed-in person (security rows M-02, M-03)."""

import uuid
from dataclasses import dataclass

from idp.accounts import addresses, authentication, notices, tokens
from idp.accounts.authentication import Attempt, Proven, Refused, Throttled
from idp.accounts.notices import Notice
from idp.accounts.passwords.hasher import Busy, Hasher
from idp.accounts.tokens import Purpose
from idp.audit import log
from idp.audit.events import PasswordChanged
from idp.config import Settings
from idp.db import unit_of_work
from idp.my_account.reauthentication import proof
from idp.sessions import manager


@dataclass(frozen=True)
class Changed:
    """The password is the new one; `cookie` is the value of the session that goes on."""

    cookie: str


@dataclass(frozen=True)
class _Unhashed:
    """The present password was right, but the new one got no turn to be hashed: nothing changed."""

    retry_after: int


def change(
    settings: Settings, hasher: Hasher, attempt: Attempt, session_id: uuid.UUID, new: str
) -> Changed | Refused | Throttled:
    """Put `new`, which the policy accepts, in place of the password of `attempt`, if that one is right.

    Raises:
        Busy: a hash could not be computed in time; nothing was decided.
    """
    outcome: Changed | _Unhashed | Refused | Throttled = authentication.prove(
        settings, hasher, attempt, lambda proven: _admit(hasher, proven, session_id, new)
    )
    if isinstance(outcome, _Unhashed):
        raise Busy(outcome.retry_after)
    return outcome


def _admit(hasher: Hasher, proven: Proven, session_id: uuid.UUID, new: str) -> Changed | _Unhashed | None:
    """Change the password in one transaction: this browser keeps a session under another id, all others end."""
    try:
        hashed = hasher.hash(new, "activation")
    except Busy as busy:  # not raised here: the password was right, and its try must not stay counted
        return _Unhashed(busy.retry_after)
    return _set(proven, session_id, hashed)


@unit_of_work()
def _set(proven: Proven, session_id: uuid.UUID, hashed: str) -> Changed | None:
    found = proof.lock(proven, session_id)
    if found is None:
        return None
    account, session = found
    account.set_password(hashed)
    addresses.cancel_change(account)  # whoever knew the former password may have asked for it
    tokens.revoke(account.id, Purpose.RESET_PASSWORD)
    manager.end_all(account.id, by="password_changed", keep=session.id)
    cookie = manager.renew(session, account)
    log.record(PasswordChanged(account_id=account.id))
    notices.tell(Notice.PASSWORD_CHANGED, account.id)
    return Changed(cookie)
