"""Puts the secret of a new letter in the place of all that opened an account.

Until the letter has served, the account is as it was before the first: imported, with one secret that opens an
activation and nothing else. Whoever holds it at that moment is told at its confirmed address (security row K-05): a
letter must not be a quiet way to take an account over.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from idp.accounts import disputes, notices, school_notices, tokens
from idp.accounts.models import Account
from idp.accounts.notices import Notice
from idp.accounts.school_notices import SETTLED_BY_LETTER
from idp.accounts.tokens import Purpose
from idp.audit import log
from idp.audit.events import LetterDrawn, LetterReissued
from idp.config import Settings
from idp.db import db
from idp.sessions import manager


@dataclass(frozen=True)
class Fresh:
    """The hash of a new secret, the account's generation when its letter was asked for, and the school that prints."""

    hashed: str
    generation: int
    school_id: uuid.UUID


class Changed(Exception):  # noqa: N818 - says what happened
    """Accounts are not what they were when their letters were asked for; nothing was done. `ids` are theirs."""

    def __init__(self, ids: list[uuid.UUID]) -> None:
        super().__init__(ids)
        self.ids = ids


def exchange(settings: Settings, fresh: Mapping[uuid.UUID, Fresh], expires_at: datetime, reason: str) -> None:
    """Give each account its new secret, in the caller's transaction: all, or none.

    Raises:
        Changed: an account was activated, disabled, disputed or got another letter meanwhile.
    """
    locked = db.session.scalars(
        select(Account)
        .where(Account.id.in_(list(fresh)))
        .order_by(Account.id)  # locked in one order by everybody
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    same = {one.id for one in locked if one.disabled_at is None and one.generation == fresh[one.id].generation}
    same -= disputes.disputed_among(same)
    if len(same) < len(fresh):
        raise Changed([key for key in fresh if key not in same])
    for account in locked:
        if account.activated_at is not None:
            _close(settings, account, reason)
        _settle_notices(account, reason)
        account.letter_school_id = fresh[account.id].school_id
        account.provisional_hash, account.provisional_expires_at = fresh[account.id].hashed, expires_at
        account.credentials_changed()
        log.record(LetterDrawn(account_id=account.id))
    db.session.flush()


def _settle_notices(account: Account, reason: str) -> None:
    """Settle what a new letter ends; a dispute stays, and so does a doubt about who the person is."""
    sentence = f"new letter: {reason}" if reason else "new letter"
    school_notices.settle(account.id, by=log.current_origin().actor, sentence=sentence, kinds=SETTLED_BY_LETTER)


def opens_something(expires_at: datetime) -> bool:
    """Return whether a letter is still good whose secret was drawn to end at that very instant."""
    drawn = select(Account.id).where(
        Account.provisional_expires_at == expires_at, Account.provisional_hash.is_not(None)
    )
    return db.session.scalar(drawn.limit(1)) is not None


def _close(settings: Settings, account: Account, reason: str) -> None:
    """Take an active account back to where its first letter found it, its owner told first.

    A contested address stays contested until the letter has served: both mailboxes are told.
    """
    tokens.revoke(account.id, *Purpose)
    for email in filter(None, (account.email, account.contested_email)):
        notices.tell_at(settings, Notice.LETTER_REISSUED, account, email)
    account.password_hash = account.password_blocked_at = account.breached_at = None
    account.email = account.email_confirmed_at = account.pending_email = None
    account.activated_at = account.activated_in = account.inactive_warned_at = None
    manager.end_all(account.id, by="letter")
    log.record(LetterReissued(account_id=account.id, reason=reason))
