"""Ends rows of sessions in the caller's transaction, and has the ENTs told."""

import uuid
from collections.abc import Sequence

from sqlalchemy import ColumnElement, select, update

from idp import opaque
from idp.accounts.models import Account
from idp.audit import log
from idp.audit.events import SessionsEnded
from idp.clock import now
from idp.db import db
from idp.outbox import queue
from idp.sessions import liveness
from idp.sessions.models import Session
from idp.throttle import limits

SESSIONS_ENDED = "sessions.ended"
"""The kind of outbox message that tells ENTs of ended sessions; its payload names the sessions' rows."""
_TOLD_AT_ONCE = 200


def end_former(cookie: str, next_account: uuid.UUID | None) -> str | None:
    """End the session of a cookie; return its `sid` if it is unexpired and of the account that signs in next.

    Another password may have ended what clients got in the session. They keep the `sid`, so that they recognise the
    browser.
    """
    moment = now()
    row = db.session.execute(
        update(Session)
        .where(Session.digest == opaque.digest(cookie), liveness.unended())
        .values(ended_at=moment)
        .returning(Session.id, Session.account_id, Session.sid, liveness.unexpired(moment).label("is_unexpired"))
    ).one_or_none()
    if row is None:
        return None
    if row.account_id == next_account and row.is_unexpired:
        return str(row.sid)
    log.record(SessionsEnded(account_id=row.account_id, count=1, by="replaced"))
    _announce([row.id])
    return None


def end_rows(account_id: uuid.UUID, by: str, *which: ColumnElement[bool]) -> int:
    """End the account's sessions, or `which` of them, and have the ENTs told; return their number."""
    ended = ended_rows(account_id, *which)
    if ended:
        log.record(SessionsEnded(account_id=account_id, count=len(ended), by=by))
    return len(ended)


def end_oldest(account_id: uuid.UUID) -> None:
    """Make room for one more session of the account: end those beyond `limits.MOST_SESSIONS`, the oldest first."""
    opened = select(Session.id).where(Session.account_id == account_id, liveness.unended(), liveness.unexpired(now()))
    surplus = opened.order_by(Session.created_at.desc()).offset(limits.MOST_SESSIONS - 1)
    end_rows(account_id, "replaced", Session.id.in_(surplus))


def ended_rows(account_id: uuid.UUID, *which: ColumnElement[bool]) -> Sequence[uuid.UUID]:
    """Do what `end_rows` does without an entry in the journal; return the rows."""
    ending = update(Session).where(Session.account_id == account_id, liveness.unended(), *which)
    ended = db.session.scalars(ending.values(ended_at=now()).returning(Session.id)).all()
    _announce(ended)
    return ended


def _announce(ended: Sequence[uuid.UUID]) -> None:
    for start in range(0, len(ended), _TOLD_AT_ONCE):
        queue.enqueue(SESSIONS_ENDED, {"sessions": [str(key) for key in ended[start : start + _TOLD_AT_ONCE]]})


def forget_activation(account_id: uuid.UUID) -> None:
    """Have no browser signed in by the confirmation of the address, in the caller's transaction."""
    waiting = Account.id == account_id, Account.activated_in.is_not(None)
    forgetting = update(Account).where(*waiting).values(activated_in=None, updated_at=Account.updated_at)
    db.session.execute(forgetting.execution_options(synchronize_session=False))
