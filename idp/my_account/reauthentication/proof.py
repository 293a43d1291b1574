"""What a password typed again allows: on the account and on the session as they are when it is acted on."""

import uuid

from sqlalchemy import select

from idp.accounts import directory
from idp.accounts.authentication import Proven
from idp.accounts.models import Account
from idp.db import db
from idp.sessions import liveness
from idp.sessions.models import Session


def lock(proven: Proven, session_id: uuid.UUID) -> tuple[Account, Session] | None:
    """Return the account, its row locked by the caller's unit of work, and the session that acts.

    Return None if either changed while the hash was computed: another password, or a session that was ended. A person
    who was signed out of an account must not finish a change there.
    """
    account = directory.get_for_change(proven.account_id)
    session = db.session.scalar(
        select(Session)
        .join(Account, Account.id == Session.account_id)
        .where(Session.id == session_id, Account.id == proven.account_id, liveness.holding())
        .execution_options(populate_existing=True)
    )
    if account is None or session is None or not proven.still_holds(account):
        return None
    return account, session
