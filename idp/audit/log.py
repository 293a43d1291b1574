"""Writes the journal, in the caller's transaction."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields

from sqlalchemy import select, update

from idp.audit import chain
from idp.audit.events import Event
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.services import services

_COLUMNS = frozenset({"account_id", "client_id"})


@dataclass(frozen=True)
class Origin:
    """Where an act came from: the network address and the request's id, or the operator's name for a command."""

    ip: str = ""
    request_id: str = ""
    actor: str = ""


_NOWHERE = Origin()
_origin: ContextVar[Origin] = ContextVar("audit_origin", default=_NOWHERE)


def set_origin(origin: Origin) -> None:
    """Say where all that is recorded from here on comes from (one request, or one command)."""
    _origin.set(origin)


@contextmanager
def acting_for(origin: Origin) -> Iterator[None]:
    """Record what the block does as coming from `origin`: a worker finishes what a request began."""
    token = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(token)


def current_origin() -> Origin:
    """Return where the present act comes from."""
    return _origin.get()


def record(event: Event) -> None:
    """Add `event` to the caller's transaction: it is kept if, and only if, what it tells is kept."""
    origin = _origin.get()
    details = {f.name: getattr(event, f.name) for f in fields(event) if f.name not in _COLUMNS}
    entry = AuditEntry(
        at=now(),
        kind=event.kind,
        result=event.result,
        account_id=event.account_id,
        client_id=event.client_id,
        actor=origin.actor,
        address=origin.ip,
        request_id=origin.request_id,
        details=details,
    )
    chain.write_mac(services().settings.secrets, entry)
    db.session.add(entry)


def forget(account_id: uuid.UUID) -> None:
    """Take out of the journal, in the caller's transaction, what told of the person whose account is removed in it.

    The one exception to « append-only »: who asks for a trace of themselves to end has a right to it (GDPR article 17),
    and who reads the journal needs the event, not the person. Kind, time, result, client and operator stay; the network
    address, the request and all details go. What is left of `account_id` leads to no row. The salted digest of the
    personal part stays and its salt goes, so that the chain stays whole and nobody can guess the part.
    """
    of_account = AuditEntry.account_id == account_id
    unfinished = select(AuditEntry).where(of_account, AuditEntry.personal_digest.is_(None)).order_by(AuditEntry.id)
    for entry in db.session.scalars(unfinished.with_for_update()):
        chain.complete(services().settings.secrets, entry)
    db.session.flush()
    db.session.execute(
        update(AuditEntry)
        .where(of_account)
        .values(address="", request_id="", details={}, salt=None)
        .execution_options(synchronize_session=False)
    )
