"""The sessions of an account, as pages and commands list them and as sign-ins count them."""

import math
import uuid
from collections.abc import Sequence

from sqlalchemy import Select, null, select, union_all

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from idp.services import services
from idp.sessions import liveness, staying
from idp.sessions.models import DeviceSession, Session
from idp.throttle import limits
from idp.web.errors import TooManyRequestsError


def open_sessions(account: Account) -> Sequence[Session]:
    """Return the account's open sessions (`liveness.listed`), the last used first."""
    return db.session.scalars(_open(account)).all()


def sessions_and_devices(account: Account, most: int) -> tuple[list[Session], list[DeviceSession]]:
    """Return the `most` open sessions that were used last, and the youngest device sessions, by one statement.

    Each part of the statement has its own limit, so that a person with many sessions cannot make it read all of them.
    """
    sessions = _open(account).with_only_columns(Session.id).limit(most).subquery()
    devices = staying.youngest_of(account.id).subquery()
    ids = union_all(
        select(sessions.c.id.label("session_id"), null().label("device_id")), select(null(), devices.c.id)
    ).subquery()
    rows = db.session.execute(
        select(Session, DeviceSession)
        .select_from(ids)
        .outerjoin(Session, Session.id == ids.c.session_id)
        .outerjoin(DeviceSession, DeviceSession.id == ids.c.device_id)
        .order_by(Session.last_seen_at.desc(), DeviceSession.created_at.desc())
    ).all()
    return [session for session, _ in rows if session], [device for _, device in rows if device]


def _open(account: Account) -> Select[Session]:
    moment = now()
    renewable = services().renewable(moment)
    return (
        select(Session)
        .join(Account, Account.id == Session.account_id)
        .where(Account.id == account.id, liveness.listed(services().settings, moment, renewable))
        .order_by(Session.last_seen_at.desc())
    )


def check_room(account_id: uuid.UUID) -> None:
    """Check that an account may sign in once more (`limits.SIGN_INS`).

    Raises:
        TooManyRequestsError: it signed in too often.
    """
    moment, window = now(), limits.SIGN_INS
    newest = select(Session.auth_time).where(Session.account_id == account_id, Session.auth_time > moment - window.span)
    first = db.session.scalar(newest.order_by(Session.auth_time.desc()).offset(window.tries - 1).limit(1))
    if first:
        raise TooManyRequestsError(math.ceil((first + window.span - moment).total_seconds()))
