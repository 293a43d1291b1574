"""Writes entries of the journal, in the caller's transaction, and counts the committed ones for the metrics."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from types import SimpleNamespace
from typing import Any

from sqlalchemy import event as sqlalchemy_event, select, update

from idp.audit import chain
from idp.audit.kinds import Event
from idp.audit.models import AuditEntry
from idp.chained import NewRow
from idp.clock import now
from idp.db import UnitSession, db
from idp.metrics import catalogue as metrics
from idp.metrics.instruments import Instrument
from idp.services import services

_COLUMNS = frozenset({"account_id", "client_id"})
# The name of the entries among the information of a session: they count once they are committed.
_UNCOUNTED = "entries that are not committed"


@dataclass(frozen=True)
class Desk:
    """The person of the desk who acts, and the school that the person acts for, if the role has one.

    `details` are the role, the authenticator, the age of the proof in seconds, the device, and `former_cookie` for a
    request by the cookie from before that proof, which does not count for it; never a secret.
    """

    staff_id: uuid.UUID
    school_id: uuid.UUID | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Origin:
    """The origin of an act: the IP and the request's id, or the operator's name for a command."""

    ip: str = ""
    request_id: str = ""
    actor: str = ""
    desk: Desk | None = None


_NOWHERE = Origin()
_origin: ContextVar[Origin] = ContextVar("audit_origin", default=_NOWHERE)


def set_origin(origin: Origin) -> None:
    """Set the origin of all that is recorded from now on, for one request or one command."""
    _origin.set(origin)


@contextmanager
def acting_for(origin: Origin) -> Iterator[None]:
    """Record the block's events with the given origin: a worker finishes what a request began."""
    token = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(token)


def current_origin() -> Origin:
    """Return the origin of the present act."""
    return _origin.get()


def record(event: Event) -> None:
    """Add `event` to the caller's transaction, so that it is stored if and only if the act is."""
    entry = entry_of(event)
    db.session.add(entry.as_object())
    if Instrument.registry is not None:
        db.session().info.setdefault(_UNCOUNTED, []).append(entry)


def entry_of(event: Event) -> NewRow:
    """Return the entry of `event`, for a statement that inserts it together with the act."""
    origin = _origin.get()
    details = {f.name: getattr(event, f.name) for f in fields(event) if f.name not in _COLUMNS}
    desk = origin.desk
    if desk is not None:
        details["desk"] = dict(desk.details)
    entry = SimpleNamespace(
        at=now(),
        kind=event.kind,
        result=event.result,
        account_id=event.account_id,
        client_id=event.client_id,
        staff_id=desk and desk.staff_id,
        school_id=desk and desk.school_id,
        actor=origin.actor,
        ip=origin.ip,
        request_id=origin.request_id,
        details=details,
    )
    chain.write_mac(services().settings.secrets, entry)
    return NewRow(AuditEntry, vars(entry))


def count(row: NewRow) -> None:
    """Count a row for the metrics, if it is an entry; a statement of its own has written it."""
    if Instrument.registry is not None and row.model is AuditEntry:
        _count_event(row.values["kind"], row.values["result"], row.values["details"])


@sqlalchemy_event.listens_for(UnitSession, "after_commit")
def _count_committed(session: UnitSession) -> None:
    for entry in session.info.pop(_UNCOUNTED, ()):
        count(entry)


@sqlalchemy_event.listens_for(UnitSession, "after_rollback")
def _forget_uncommitted(session: UnitSession) -> None:
    session.info.pop(_UNCOUNTED, None)


def forget(account_id: uuid.UUID) -> None:
    """Erase the personal parts of an account's entries, in the transaction that removes the account.

    This is the one exception to « append-only »: people have a right to erasure (GDPR article 17), and readers of the
    journal need the event, not the person. Kind, time, result, client and operator stay; the IP, the request and all
    details go. The remaining `account_id` matches no row. The salted digest of the personal part stays and its salt
    goes, so that the chain stays whole and nobody can guess the part.
    """
    of_account = AuditEntry.account_id == account_id
    unfinished = select(AuditEntry).where(of_account, AuditEntry.personal_digest.is_(None)).order_by(AuditEntry.id)
    for entry in db.session.scalars(unfinished.with_for_update()):
        chain.complete(services().settings.secrets, entry)
    db.session.flush()
    db.session.execute(
        update(AuditEntry)
        .where(of_account)
        .values(ip="", request_id="", details={}, salt=None)
        .execution_options(synchronize_session=False)
    )


_STEPS = {
    "activation.opened": "opened",
    "activation.completed": "completed",
    "email.link_sent": "mail_sent",
    "email.confirmed": "confirmed",
}
_RECOVERIES = {
    "recovery.username": "username_asked",
    "recovery.username_told": "username_told",
    "password.reset": "password_chosen",
}


def _count_event(kind: str, result: str, details: Mapping[str, Any]) -> None:
    metrics.EVENTS.count(kind, result)
    if kind == "sign_in":
        _count_sign_in(result, details)
    elif kind in _STEPS:
        metrics.ACTIVATIONS.count(_STEPS[kind])
    elif kind in _RECOVERIES:
        metrics.RECOVERIES.count(_RECOVERIES[kind])
    else:
        _count_other(kind, result, details)


def _count_sign_in(result: str, details: Mapping[str, Any]) -> None:
    """Count a sign-in. Throttled ones are counted where they happen, since the journal has one an hour."""
    if result == "ok":
        metrics.SIGN_INS.count("password" if "pwd" in details["amr"] else "passkey", "ok")
    elif result == "refused" and details["door"] in {"sign_in", "passkey"}:
        metrics.SIGN_INS.count("passkey" if details["door"] == "passkey" else "password", details["reason"])


def _count_other(kind: str, result: str, details: Mapping[str, Any]) -> None:
    if kind == "recovery.password":
        metrics.RECOVERIES.count(details["answer"])
    elif kind == "staff.sign_in":
        metrics.STAFF_SIGN_INS.count(result)
    elif kind == "device_session.changed" and details["change"] == "used":
        metrics.SIGN_INS.count("device", "ok")
    elif kind == "device_session.reused":
        metrics.SIGN_INS.count("device", "reused")
    elif kind == "desk.job_finished":
        metrics.JOBS_ENDED.count(details["work"], details["outcome"])
