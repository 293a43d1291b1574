"""Writes the journal, in the caller's transaction."""

from contextvars import ContextVar
from dataclasses import dataclass, fields

from idp.audit.events import Event
from idp.audit.models import AuditEntry
from idp.db import db

_COLUMNS = frozenset({"account_id", "client_id"})


@dataclass(frozen=True)
class Origin:
    """Where an act came from: the network address and the request's id, or the operator's name for a command."""

    address: str = ""
    request_id: str = ""
    actor: str = ""


_NOWHERE = Origin()
_origin: ContextVar[Origin] = ContextVar("audit_origin", default=_NOWHERE)


def set_origin(origin: Origin) -> None:
    """Say where all that is recorded from here on comes from (one request, or one command)."""
    _origin.set(origin)


def current_origin() -> Origin:
    """Return where the present act comes from."""
    return _origin.get()


def record(event: Event) -> None:
    """Add `event` to the caller's transaction: it is kept if, and only if, what it tells is kept."""
    origin = _origin.get()
    details = {f.name: getattr(event, f.name) for f in fields(event) if f.name not in _COLUMNS}
    db.session.add(
        AuditEntry(
            kind=event.kind,
            result=event.result,
            account_id=event.account_id,
            client_id=event.client_id,
            actor=origin.actor,
            address=origin.address,
            request_id=origin.request_id,
            details=details,
        )
    )
