"""The rules of a change of address by the signed-in person (security rows E-04, E-05, M-01)."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from idp.accounts import addresses, authentication, directory
from idp.accounts.authentication import Attempt, Proven, Refused, Throttled
from idp.accounts.models import OneTimeLink
from idp.accounts.passwords.hasher import Hasher
from idp.accounts.tokens import Purpose
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.my_account.reauthentication import proof


@dataclass(frozen=True)
class Asked:
    """A link is on its way to the new address, and a notice to the present one."""


Outcome = Asked | addresses.TooSoon | Refused | Throttled


def ask(settings: Settings, hasher: Hasher, attempt: Attempt, session_id: uuid.UUID, address: str) -> Outcome:
    """Let `address` wait for its confirmation, if the password of `attempt` is right.

    Raises:
        Busy: the hash could not be computed in time; nothing was decided.
    """
    return authentication.prove(
        settings, hasher, attempt, lambda proven: _admit(settings, attempt.address, proven, session_id, address)
    )


def _admit(
    settings: Settings, network_address: str, proven: Proven, session_id: uuid.UUID, address: str
) -> Asked | addresses.TooSoon | None:
    """Count the mail, once the password was right: a slip in the password must not use the mails up."""
    wait = addresses.take_slots_for_another(proven.account_id, address, network_address)
    if wait:
        return addresses.TooSoon(wait)
    with unit_of_work():
        found = proof.lock(proven, session_id)
        if found is None:
            return None
        account, _ = found
        addresses.ask_change(settings, account, address)
    return Asked()


@unit_of_work()
def keep_present(account_id: uuid.UUID) -> bool:
    """Cancel the change that waits; return whether there was one."""
    account = directory.get_for_change(account_id)
    return account is not None and addresses.cancel_change(account)


def last_sent_at(account_id: uuid.UUID) -> datetime | None:
    """Return when the last link for another address was made."""
    return db.session.scalar(
        select(OneTimeLink.created_at)
        .where(OneTimeLink.account_id == account_id, OneTimeLink.purpose == Purpose.CHANGE_EMAIL.value)
        .order_by(OneTimeLink.created_at.desc())
        .limit(1)
    )
