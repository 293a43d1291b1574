"""The rules of « Mes connexions »: the connected devices, the last sign-ins, and signing devices out."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext
from sqlalchemy import func, or_, select

from idp.accounts import directory
from idp.accounts.closings import Closing
from idp.accounts.models import Account, Child, Guardianship
from idp.audit import catalogue
from idp.audit.catalogue import without_twins
from idp.audit.kinds import CHILD, NAMED_CHILD, chosen
from idp.audit.models import AuditEntry
from idp.db import db, unit_of_work
from idp.sessions import listed, liveness, manager
from idp.sessions.models import DeviceSession, Session
from idp.throttle.limits import network_of
from idp.web.user_agent import Device, describe, from_code

_OWN = {name: kind.own for name, kind in catalogue.KINDS.items() if kind.own}
KINDS_OF_OTHERS = tuple(_OWN)
"""The kinds of events to read."""


def words_of(kind: str, details: Mapping[str, Any], children: Mapping[str, str]) -> Any:
    """Return the sentence for an event with places for `who` and `when`, or None if it is not listed.

    `children` are the given names that the person may read, by key.
    """
    words, change = _OWN.get(kind, ""), str(details.get("change", ""))
    if not details.get("child"):
        return chosen(words, "", change) or None
    name = children.get(str(details["child"]))
    if not name:
        return chosen(words, CHILD, "", change) or None
    sentence = str(chosen(words, NAMED_CHILD, "", change))
    return sentence % {"child": name.replace("%", "%%"), "who": "%(who)s", "when": "%(when)s"} or None


def actor(details: Mapping[str, Any]) -> str:
    """Return who did it, by the role at the desk; a command is run by the service's team."""
    desk = details.get("desk")
    role = desk.get("role") if isinstance(desk, dict) else ""
    names: dict[Any, str] = {
        "secretary": gettext("Le secrétariat"),
        "head": gettext("La direction de l’établissement"),
        "helpdesk": gettext("L’assistance de l’académie"),
        "dpo": gettext("Le délégué à la protection des données"),
    }
    return names.get(role) or gettext("L’équipe du service")


_SHOWN = 10
_READ = 100
_ACTS_READ = 50


@dataclass(frozen=True)
class Connection:
    """A connected device.

    `key` is the row of its session, or of its device session. `present` says that it is the reader's own. `left_alone`
    says that it still has access to an ENT, but not to this service. `stays_until` is the end of its device session,
    and `also_from` the other browsers and IPs of its sessions.
    """

    key: uuid.UUID
    device: Device
    since: datetime
    ip: str
    present: bool
    left_alone: bool
    stays_until: datetime | None
    also_from: Sequence[tuple[Device, str]]


@dataclass(frozen=True)
class SignIn:
    """A sign-in of the journal, or a try; `device` is None if the browser did not name itself."""

    at: datetime
    succeeded: bool
    device: Device | None
    ip: str
    by_passkey: bool


def live(account: Account, present: Session) -> list[Connection]:
    """Return the connected devices: the reader's own first, then the last used.

    Sessions of one device session have one `sid`: the last used stands for all.
    """
    sessions, device_sessions = listed.sessions_and_devices(account, _READ)
    devices = {row.sid: row for row in device_sessions}
    rows: dict[str, list[Session | DeviceSession]] = {}
    for row in sorted(sessions, key=lambda row: row.id != present.id):
        rows.setdefault(row.sid, []).append(row)
    for sid, device in devices.items():
        rows.setdefault(sid, [device])
    return [_connection(own, present, devices.get(sid)) for sid, own in rows.items()]


def _connection(rows: Sequence[Session | DeviceSession], present: Session, device: DeviceSession | None) -> Connection:
    row = rows[0]
    return Connection(
        row.id,
        describe(row.user_agent),
        row.created_at,
        row.ip,
        present=row.sid == present.sid,
        left_alone=isinstance(row, Session) and listed.is_left_alone(row),
        stays_until=device.expires_at if device else None,
        also_from=_elsewhere(rows),
    )


def _elsewhere(rows: Sequence[Session | DeviceSession]) -> list[tuple[Device, str]]:
    """Return the other browsers and networks from which sessions of one device were opened: its cookie was copied?"""
    seen = {(describe(row.user_agent), network_of(row.ip)): row.ip for row in rows}
    return [(device, ip) for (device, _), ip in seen.items()][1 : _SHOWN + 1]


def last_sign_ins(account_id: uuid.UUID) -> list[SignIn]:
    """Return the last sign-in attempts, the youngest first; re-authentications are not among them."""
    rows = db.session.scalars(
        select(AuditEntry)
        .where(
            AuditEntry.account_id == account_id,
            AuditEntry.kind == "sign_in",
            or_(AuditEntry.result == "ok", AuditEntry.details["door"].as_string().in_(("sign_in", "passkey"))),
        )
        .order_by(AuditEntry.at.desc(), AuditEntry.id.desc())
        .limit(_SHOWN)
    )
    return [SignIn(row.at, row.result == "ok", _device(row), row.ip, by_passkey=_is_by_passkey(row)) for row in rows]


def acts_of_others(account_id: uuid.UUID) -> list[tuple[AuditEntry, Any]]:
    """Return the last acts of the school or the service on an account, with their words, the youngest first.

    An account that was only read is not listed.
    """
    rows = db.session.scalars(
        select(AuditEntry)
        .where(AuditEntry.account_id == account_id, AuditEntry.kind.in_(KINDS_OF_OTHERS), AuditEntry.actor != "")
        .where(AuditEntry.result == "ok")
        .order_by(AuditEntry.at.desc(), AuditEntry.id.desc())
        .limit(_ACTS_READ)
    )
    listed = without_twins(rows)
    children = _given_names(account_id) if any(row.details.get("child") for row in listed) else {}
    known = ((row, words_of(row.kind, row.details, children)) for row in listed)
    return [(row, words) for row, words in known if words is not None][:_SHOWN]


def _given_names(account_id: uuid.UUID) -> dict[str, str]:
    """Return the given names, by key, of the children who are or were the person's own, also if a tie is closed.

    A child is missing whose tie is disputed or was ended by the school, or waited for the head: the person may never
    have been its guardian.
    """
    waited = select(Closing.child_id).where(Closing.account_id == account_id, Closing.awaits_head)
    chosen = (
        select(Child.id, Child.given_name)
        .join(Guardianship, Guardianship.child_id == Child.id)
        .where(
            Guardianship.account_id == account_id,
            ~Guardianship.is_excluded,
            ~Guardianship.has_open_dispute,
            Child.id.not_in(waited),
        )
    )
    return {str(row.id): row.given_name for row in db.session.execute(chosen)}


def _is_by_passkey(row: AuditEntry) -> bool:
    return row.details.get("door") == "passkey" or "user" in row.details.get("amr", ())


def _device(row: AuditEntry) -> Device | None:
    code = row.details.get("device")
    return from_code(code) if code else None


@unit_of_work()
def end_one(account: Account, present: Session, key: uuid.UUID) -> bool:
    """End the session of one device, and have the ENTs told; return False if the account has no such session.

    The device's session may have got another row since the page was shown, because the password was typed again: that
    row is ended. A device that has already signed out counts as ended.
    """
    directory.get_for_change(account.id)
    sids = (
        select(row.sid).where(row.id == key, row.account_id == account.id).scalar_subquery()
        for row in (Session, DeviceSession)
    )
    sid = db.session.scalar(select(func.coalesce(*sids)))
    if sid is None or sid == present.sid:
        return False
    manager.end_browser(account.id, sid, by="person")
    return True


@unit_of_work()
def end_others(account: Account, present: Session) -> None:
    """End the sessions of all devices but the reader's own, and what was copied from it; have the ENTs told."""
    directory.get_for_change(account.id)
    alive = db.session.scalar(select(Session.id).where(Session.id == present.id, liveness.unended()))
    if alive is None:  # the reader's own session was renewed or ended meanwhile: the page is loaded again
        return
    manager.end_others(present, by="person")
