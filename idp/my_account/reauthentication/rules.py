"""The rules of « Confirmez que c’est vous »: the password again, before access changes (OWASP ASVS 5, V 7.5)."""

import uuid
from datetime import timedelta

from sqlalchemy import select

from idp import opaque
from idp.accounts import authentication
from idp.accounts.authentication import Attempt, Refused, Throttled, VerifiedSecret
from idp.accounts.models import Account
from idp.accounts.passwords.hasher import Hasher
from idp.audit import log
from idp.audit.credential_events import Reauthenticated
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.my_account.reauthentication import proof
from idp.sessions import liveness, manager
from idp.sessions.models import Session

_SECOND_CLICK = timedelta(minutes=1)


def verify(settings: Settings, hasher: Hasher, attempt: Attempt, session: Session) -> str | Refused | Throttled:
    """Verify the password of the session's account; if it is right, renew the session and return its new cookie.

    Raises:
        HasherBusyError: the hash could not be computed in time; nothing was decided.
    """
    session_id = session.id
    return authentication.verify_secret(settings, hasher, attempt, lambda verified: _renew(verified, session_id))


@unit_of_work()
def _renew(verified: VerifiedSecret, session_id: uuid.UUID) -> str | None:
    locked = proof.lock(verified, session_id)
    if locked is None or locked[0].password_blocked_at is not None:
        return None
    account, session = locked
    cookie = manager.renew(session, account)
    log.record(Reauthenticated(account_id=account.id, sid=session.sid))
    return cookie


def find_renewed(cookie: str) -> tuple[Session, Account] | None:
    """Return the session that recently replaced the one of `cookie`, and its account.

    A form that is sent twice arrives the second time with the cookie that the first request replaced, and the browser
    may never read the first answer. The cookie alone gives no access: the form's password is verified again.
    """
    # as the database has them now: this request may have read them before another one renewed the session
    former = db.session.scalar(
        select(Session)
        .where(Session.digest == opaque.digest(cookie), liveness.ended_since(now() - _SECOND_CLICK))
        .execution_options(populate_existing=True)
    )
    if former is None:
        return None
    row = db.session.execute(
        select(Session, Account)
        .join(Account, Account.id == Session.account_id)
        .where(
            Session.account_id == former.account_id,
            Session.sid == former.sid,
            Session.auth_time >= former.ended_at,
            liveness.resumable(now()),
        )
        .execution_options(populate_existing=True)
    ).one_or_none()
    return (row[0], row[1]) if row else None
