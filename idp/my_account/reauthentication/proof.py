"""Locks the account and the session after the password was typed again."""

import uuid

from sqlalchemy import select

from idp.accounts import directory
from idp.accounts.authentication import VerifiedSecret
from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from idp.sessions import liveness
from idp.sessions.models import Session


def lock(verified: VerifiedSecret, session_id: uuid.UUID) -> tuple[Account, Session] | None:
    """Return the account, its row locked by the caller's unit of work, and the session.

    Return None if the password changed, or the session ended, while the hash was computed: a person whose session was
    ended must not complete what they had begun.
    """
    locked = lock_session(verified.account_id, session_id)
    return locked if locked is not None and verified.still_holds(locked[0]) else None


def lock_session(account_id: uuid.UUID, session_id: uuid.UUID) -> tuple[Account, Session] | None:
    """Return the account, its row locked by the caller's unit of work, and the session; None if the session ended."""
    account = directory.get_for_change(account_id)
    session = db.session.scalar(
        select(Session)
        .join(Account, Account.id == Session.account_id)
        .where(Session.id == session_id, Account.id == account_id, liveness.holding(now()))
        .execution_options(populate_existing=True)
    )
    return (account, session) if account is not None and session is not None else None
