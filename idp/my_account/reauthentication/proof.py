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
    account = directory.get_for_change(verified.account_id)
    session = db.session.scalar(
        select(Session)
        .join(Account, Account.id == Session.account_id)
        .where(Session.id == session_id, Account.id == verified.account_id, liveness.holding(now()))
        .execution_options(populate_existing=True)
    )
    if account is None or session is None or not verified.still_holds(account):
        return None
    return account, session
