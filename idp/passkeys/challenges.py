"""Challenges of parents' passkeys: signed, bound to a browser and a purpose, valid for minutes, used once.

To draw one stores nothing, since each sign-in page draws one for the browser's list of accounts. To spend one is one
statement.
"""

import enum
import hmac
from datetime import timedelta

from idp import opaque, signed
from idp.config import Settings
from idp.db import db, upsert
from idp.passkeys.ceremony import PasskeyError
from idp.passkeys.models import SpentChallenge
from idp.web import browser

LIFETIME = timedelta(minutes=10)


class Purpose(enum.Enum):
    """What a challenge is for."""

    ADD = "add"
    SIGN_IN = "sign_in"


def draw(settings: Settings, purpose: Purpose, *bound_to: str) -> bytes:
    """Return a new challenge for this browser and, if named, for one session and account."""
    return _signer(settings).dumps([opaque.new_value(), _subject(purpose, bound_to)]).encode()


def spend(settings: Settings, challenge: bytes, purpose: Purpose, *bound_to: str) -> None:
    """Use a challenge in the caller's transaction: of any number of requests, exactly one gets it.

    Raises:
        PasskeyError: it was not drawn for this browser, purpose, session and account, is too old, or was used.
    """
    try:
        content, drawn_at = _signer(settings).loads(challenge.decode(), int(LIFETIME.total_seconds()) - 1)
        subject = str(content[1])
    except (signed.InvalidValueError, UnicodeDecodeError, TypeError, IndexError, KeyError) as error:
        raise PasskeyError("late") from error
    if not hmac.compare_digest(subject, _subject(purpose, bound_to)):
        raise PasskeyError("late")
    spending = upsert(SpentChallenge).values(digest=opaque.digest(challenge.decode()), expires_at=drawn_at + LIFETIME)
    first = db.session.scalar(spending.on_conflict_do_nothing().returning(SpentChallenge.digest))
    if first is None:
        raise PasskeyError("late")


def _subject(purpose: Purpose, bound_to: tuple[str, ...]) -> str:
    return opaque.digest(" ".join((purpose.value, browser.binding(), *bound_to))).hex()


def _signer(settings: Settings) -> signed.Signer:
    return signed.signer(settings.secrets, "passkey challenge")
