"""The rules of a change of address by the signed-in person (security rows E-04, E-05, M-01)."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from idp.accounts import authentication, directory, emails
from idp.accounts.authentication import Attempt, Refused, Throttled, VerifiedSecret
from idp.accounts.one_time_links import OneTimeLink, Purpose
from idp.accounts.passwords.hasher import Hasher
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.my_account.reauthentication import proof


@dataclass(frozen=True)
class Asked:
    """A link was sent to the new address, and a notice to the present one."""


Outcome = Asked | emails.TooSoon | Refused | Throttled


def ask(settings: Settings, hasher: Hasher, attempt: Attempt, session_id: uuid.UUID, email: str) -> Outcome:
    """Start the change to `email`, if the password of `attempt` is right.

    Raises:
        HasherBusyError: the hash could not be computed in time; nothing was decided.
    """
    return authentication.verify_secret(
        settings, hasher, attempt, lambda verified: _admit(settings, attempt.ip, verified, session_id, email)
    )


def _admit(
    settings: Settings, ip: str, verified: VerifiedSecret, session_id: uuid.UUID, email: str
) -> Asked | emails.TooSoon | None:
    """Count the mail after the password was verified: a typing error must not use up the mails."""
    wait = emails.take_slots_for_another(verified.account_id, email, ip)
    if wait:
        return emails.TooSoon(wait)
    with unit_of_work():
        locked = proof.lock(verified, session_id)
        if locked is None or locked[0].contested_at is not None:
            return None
        account, _ = locked
        emails.ask_change(settings, account, email)
    return Asked()


@unit_of_work()
def keep_present(account_id: uuid.UUID) -> bool:
    """Cancel the pending change; return whether there was one."""
    account = directory.get_for_change(account_id)
    return account is not None and emails.cancel_change(account)


def last_sent_at(account_id: uuid.UUID) -> datetime | None:
    """Return when the last link for another address was issued."""
    return db.session.scalar(
        select(OneTimeLink.created_at)
        .where(OneTimeLink.account_id == account_id, OneTimeLink.purpose == Purpose.CHANGE_EMAIL.value)
        .order_by(OneTimeLink.created_at.desc())
        .limit(1)
    )
