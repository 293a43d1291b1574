"""The rules of « Mes connexions »: which devices are in, how the last sign-ins went, and how others are put out."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select

from idp.accounts import directory
from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.db import db, unit_of_work
from idp.sessions import liveness, manager
from idp.sessions.models import Session
from idp.web.user_agent import Device, describe, from_code

_SHOWN = 10


@dataclass(frozen=True)
class Connection:
    """A device that is in; `key` is the row of its session, `present` says that it is the reader's own.

    `left_alone`: it is in an ENT, and no more here.
    """

    key: uuid.UUID
    device: Device
    since: datetime
    address: str
    present: bool
    left_alone: bool


@dataclass(frozen=True)
class SignIn:
    """A sign-in as the journal has it; `device` is None when the browser said nothing of itself."""

    at: datetime
    succeeded: bool
    device: Device | None
    address: str


def live(account: Account, present: Session) -> list[Connection]:
    """Return the devices that are in, the reader's own first, then the one that was used last."""
    rows = sorted(manager.open_sessions(account), key=lambda row: row.id != present.id)
    return [
        Connection(
            row.id,
            describe(row.user_agent),
            row.created_at,
            row.address,
            present=row.id == present.id,
            left_alone=manager.is_left_alone(row),
        )
        for row in rows
    ]


def last_sign_ins(account_id: uuid.UUID) -> list[SignIn]:
    """Return the last sign-ins that were tried, youngest first; what was asked again inside an account is none."""
    rows = db.session.scalars(
        select(AuditEntry)
        .where(
            AuditEntry.account_id == account_id,
            AuditEntry.kind == "sign_in",
            or_(AuditEntry.result == "ok", AuditEntry.details["door"].as_string() == "sign_in"),
        )
        .order_by(AuditEntry.at.desc(), AuditEntry.id.desc())
        .limit(_SHOWN)
    )
    return [SignIn(row.at, row.result == "ok", _device(row), row.address) for row in rows]


def _device(row: AuditEntry) -> Device | None:
    code = row.details.get("device")
    return from_code(code) if code else None


@unit_of_work()
def end_one(account: Account, present: Session, key: uuid.UUID) -> bool:
    """End the session of one device, and have the ENTs told; False, nothing done, when the account has no such row.

    The device may have gone on under another row since the page was shown, after its password was typed again: it is
    the device that is meant. One that has left already is as it should be.
    """
    directory.get_for_change(account.id)
    sid = db.session.scalar(select(Session.sid).where(Session.id == key, Session.account_id == account.id))
    if sid is None or sid == present.sid:
        return False
    rows = db.session.scalars(
        select(Session.id).where(Session.account_id == account.id, Session.sid == sid, liveness.unended())
    ).all()
    for row in rows:
        manager.end_all(account.id, by="person", only=row)
    return True


@unit_of_work()
def end_others(account: Account, present: Session) -> None:
    """End the sessions of all devices but the reader's own, and have the ENTs told."""
    directory.get_for_change(account.id)
    alive = db.session.scalar(select(Session.id).where(Session.id == present.id, liveness.unended()))
    if alive is None:  # the reader's own was renewed or ended meanwhile: the page is asked for again
        return
    manager.end_all(account.id, by="person", keep=present.id)
