"""Resets accounts for which a new letter is printed: its provisional password replaces all their credentials.

The account is then as it was after its import: the provisional password opens an activation and nothing else. The owner
is told at the confirmed email (security row K-05), so that nobody can take an account over unnoticed by a letter.
"""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from idp.accounts import disputes, notices, one_time_links, school_notices
from idp.accounts.models import Account
from idp.accounts.notices import Notice
from idp.accounts.one_time_links import Purpose
from idp.accounts.school_notices import SETTLED_BY_LETTER
from idp.audit import log
from idp.audit.events import LetterDrawn, LetterReissued
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.passkeys import keys
from idp.sessions import manager


@dataclass(frozen=True)
class NewSecret:
    """The new provisional password of an account.

    Attributes:
        hashed: its hash.
        generation: the account's generation when the letter was composed.
        school_id: the school that prints the letter.
    """

    hashed: str
    generation: int
    school_id: uuid.UUID


class AccountsChangedError(Exception):
    """The accounts `ids` changed after their letters were composed; nothing was written."""

    def __init__(self, ids: list[uuid.UUID]) -> None:
        super().__init__(ids)
        self.ids = ids


def reset_accounts(settings: Settings, fresh: Mapping[uuid.UUID, NewSecret], expires_at: datetime, reason: str) -> None:
    """Store the new secret of each account, in the caller's transaction: all, or none.

    Raises:
        AccountsChangedError: an account was activated, disabled, disputed or got another letter in the meantime.
    """
    locked = db.session.scalars(
        select(Account)
        .where(Account.id.in_(list(fresh)))
        .order_by(Account.id)  # always in this order, to avoid deadlocks
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    moment = now()
    same = {
        entry.id for entry in locked if entry.is_enabled_at(moment) and entry.generation == fresh[entry.id].generation
    }
    same -= disputes.disputed_among(same)
    if len(same) < len(fresh):
        raise AccountsChangedError([key for key in fresh if key not in same])
    for account in locked:
        if account.has_been_active:
            _close(settings, account, reason)
        account.letter_school_id = fresh[account.id].school_id
        account.provisional_hash, account.provisional_expires_at = fresh[account.id].hashed, expires_at
        account.credentials_changed()
        log.record(LetterDrawn(account_id=account.id))
    db.session.flush()  # once: a school has thousands of accounts, whose rows are locked until the commit
    _settle_notices([account.id for account in locked], reason)


def _settle_notices(account_ids: Collection[uuid.UUID], reason: str) -> None:
    """Settle the notices that a new letter settles: neither disputes nor doubts about the person's identity."""
    sentence = f"new letter: {reason}" if reason else "new letter"
    school_notices.settle_all(account_ids, by=log.current_origin().actor, sentence=sentence, kinds=SETTLED_BY_LETTER)


def are_stored(fresh: Mapping[uuid.UUID, NewSecret]) -> bool:
    """Return whether a transaction of `reset_accounts` with these secrets was committed."""
    stored = select(Account.id).where(
        Account.id.in_(list(fresh)), Account.provisional_hash.in_([secret.hashed for secret in fresh.values()])
    )
    return db.session.scalar(stored.limit(1)) is not None


def is_secret_valid(expires_at: datetime) -> bool:
    """Return whether the secret of a letter that expires at exactly `expires_at` is still valid."""
    valid = select(Account.id).where(
        Account.provisional_expires_at == expires_at, Account.provisional_hash.is_not(None)
    )
    return db.session.scalar(valid.limit(1)) is not None


def _close(settings: Settings, account: Account, reason: str) -> None:
    """Remove the credentials of an account that has been active, and tell its owner.

    A contested email stays contested until the letter is used: both mailboxes are told.
    """
    one_time_links.revoke(account.id, *Purpose)
    for email in filter(None, (account.email, account.contested_email)):
        notices.tell_at(settings, Notice.LETTER_REISSUED, account, email)
    account.password_hash = account.password_blocked_at = account.breached_at = None
    account.email = account.email_confirmed_at = account.pending_email = None
    account.first_activated_at = account.first_activated_at or account.activated_at
    account.activated_at = account.activated_in = None
    account.known_use_at = account.created_at
    keys.remove_all(account.id, by="letter", mailed=False)  # the mail about the letter says so
    manager.end_all(account.id, by="letter")
    log.record(LetterReissued(account_id=account.id, reason=reason))
