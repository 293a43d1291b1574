"""The rules of « Se connecter sans mot de passe »: who may add or remove a passkey of an account.

Nobody enrols for another person: to add a passkey takes the password, typed minutes ago in this session, and a
challenge that was drawn for this browser, session and account. To remove one takes the password too: one passkey of
the account must not be enough to take away the others. Additions are counted, removals are not: an account has a few
keys to remove, and its owner may always remove a key that somebody else added.
"""

import uuid

from idp.config import Settings
from idp.db import unit_of_work
from idp.my_account.reauthentication import proof
from idp.passkeys import keys
from idp.passkeys.ceremony import PasskeyError
from idp.sessions.guard import typed_password_recently
from idp.throttle import guard, limits
from idp.web.errors import TooManyRequestsError


def add(
    settings: Settings, account_id: uuid.UUID, session_id: uuid.UUID, answer: str, name: str, *, by_itself: bool
) -> None:
    """Add the passkey of a browser's answer.

    Raises:
        PasskeyError: the answer proves nothing, or the session ended or grew old meanwhile.
        TooManyRequestsError: the account added passkeys too often.
    """
    if seconds := guard.take_or_wait((limits.PASSKEY_ADDITIONS, str(account_id))):
        raise TooManyRequestsError(seconds)
    with unit_of_work():
        locked = proof.lock_session(account_id, session_id)
        if locked is None or not typed_password_recently(locked[1]):
            raise PasskeyError
        keys.add(settings, locked[0], session_id, answer, name, by_itself=by_itself)


def remove(account_id: uuid.UUID, session_id: uuid.UUID, key_id: uuid.UUID) -> bool:
    """Remove a passkey; return whether the account had it, and the session is still one of the password."""
    with unit_of_work():
        locked = proof.lock_session(account_id, session_id)
        return locked is not None and typed_password_recently(locked[1]) and keys.remove(account_id, key_id)
