"""Mailboxes that serve several accounts: whoever reads one can choose a new password for each of them.

`IDP_SHARED_MAILBOX` says what is allowed. That a mailbox serves another account is told only to people who read it.
"""

from sqlalchemy import exists, func, select

from idp import opaque
from idp.accounts.models import Account
from idp.config import Settings
from idp.db import db
from idp.mail.addresses import fold_address


def serves_another(account: Account, email: str, *, disabled_too: bool = False) -> bool:
    """Say whether another account that is in use has confirmed the mailbox of `email`; reads on `db.session`."""
    conditions = [
        Account.mailbox == fold_address(email),
        Account.id != account.id,
        Account.merged_into_id.is_(None),
    ]
    if not disabled_too:
        conditions.append(Account.disabled_at.is_(None))
    return bool(db.session.scalar(select(exists().where(*conditions))))


def is_refused(settings: Settings, account: Account, email: str) -> bool:
    """Say whether `email` may not become the account's, in the transaction that would make it so.

    On PostgreSQL two accounts that confirm one mailbox at once wait for each other here; on SQLite every transaction
    does.
    """
    if settings.shared_mailbox != "refuse":
        return False
    if db.engine.dialect.name == "postgresql":
        key = int.from_bytes(opaque.digest(f"mailbox:{fold_address(email)}")[:8], "big", signed=True)
        db.session.execute(select(func.pg_advisory_xact_lock(key)))
    return serves_another(account, email)


def reset_needs_letter(settings: Settings, account: Account, *, known_device: bool) -> bool:
    """Say whether no mail may lead to a new password of the account: another person may read it first.

    Accounts that are disabled count: whoever has one still reads the mailbox. `known_device` says whether the request
    came from a browser that proved the account's present password.
    """
    if settings.shared_mailbox != "known-device" or known_device or account.email is None:
        return False
    return serves_another(account, account.email, disabled_too=True)
