"""Changes of an ENT that its operator asks for and the académie decides: another host, a name like that of another ENT.

A proposal waits in `Client.pending_metadata`, and nothing of it is in force before the engineer accepts it. Another one
takes its place. It has the changed fields alone, so that what the engineer changes meanwhile stays.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from idp.audit import changes, log
from idp.audit.registry_events import ClientChanged, ClientDeclined
from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings
from idp.db import unit_of_work
from idp.desk.alerts.recipients import of_alert
from idp.desk.ents import acceptance
from idp.desk.staff import invitations
from idp.registration import approvals, registrations, rows
from idp.registration.faults import Fault, FaultCode, RegistrationRefusedError
from idp.registration.invitations import bind
from idp.registration.metadata import FIELDS, ClientMetadata

_BY_ACADEMY = frozenset({FaultCode.NEW_HOST, FaultCode.SEVERAL_HOSTS, FaultCode.OTHER_SECTOR, FaultCode.NAME_TAKEN})
"""The faults of a change that the académie may accept."""


@dataclass(frozen=True)
class Proposal:
    """A change that waits: who asked for it, when, and the changed fields of the registration."""

    by: uuid.UUID
    asked_at: datetime
    values: dict[str, Any]

    @classmethod
    def of(cls, client: Client) -> Self | None:
        """Return the proposal of an ENT, or None; a change that the ENT itself asked for is none."""
        kept = client.pending_metadata
        if kept is None or approvals.ASKED_BY not in kept:
            return None
        asked_at = datetime.fromisoformat(kept["asked_at"])
        return cls(uuid.UUID(kept[approvals.ASKED_BY]), asked_at, kept["metadata"])

    def applied(self, former: ClientMetadata) -> ClientMetadata:
        """Return a registration with the changed fields."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in self.values.items()
        }
        return replace(former, **values)


def may_wait(client: Client, faults: Sequence[Fault]) -> bool:
    """Return whether a change with these faults may wait for the académie: not while the ENT itself waits for it."""
    return client.waiting_since is None and all(fault.code in _BY_ACADEMY for fault in faults)


def propose(settings: Settings, client: Client, metadata: ClientMetadata, staff_id: uuid.UUID) -> bool:
    """Keep a change until the académie decides; return whether it takes the place of another one.

    Args:
        settings: those of this service.
        client: the client as it was read.
        metadata: its registration after the change.
        staff_id: the ENT operator.

    Raises:
        RegistrationRefusedError: with every fault that the académie cannot accept either; or the person does not act
            for the ENT, or asked for too much.
    """
    approvals.check_name(settings, metadata.name, client, accepted=metadata.name)
    registrations.check_change(settings, client, metadata, approved=True)
    former, before = rows.read(client), registrations.audited(client)
    kept = rows.shown_fields(metadata, [field.name for field in FIELDS if _differs(field.name, former, metadata)])
    hosts = sorted(approvals.leading_hosts(metadata) - approvals.leading_hosts(former))
    with unit_of_work():
        staff = invitations.get_for_change(staff_id)
        if staff is None or not acceptance.acts_for(staff_id, client):
            raise registrations.state_error("the person is no operator of this ENT", FaultCode.ASKER_LEFT)
        acceptance.check_number(staff_id, replaced=client)
        registrations.count_change(client)
        is_another = client.pending_metadata is not None
        client.pending_metadata = {
            "asked_at": now().isoformat(), approvals.ASKED_BY: str(staff_id), "hosts": hosts, "metadata": kept
        }  # fmt: skip
        changed = changes.difference(before, registrations.audited(client))
        log.record(ClientChanged(client_id=client.id, change=acceptance.PROPOSED, **changed))
        acceptance.enqueue(client, "proposed", of_alert(staff_id, None), by=staff_id)
    return is_another


def _differs(name: str, former: ClientMetadata, metadata: ClientMetadata) -> bool:
    return bool(getattr(former, name) != getattr(metadata, name))


def accept(settings: Settings, client: Client) -> None:
    """Make the change that waits. The ENT stays in its sector: it knows each person by the same sub as before.

    Args:
        settings: those of this service.
        client: the client as it was read: a change since then is a fault.

    Raises:
        RegistrationRefusedError: with every fault; or no proposal waits, or its person acts for the ENT no longer.
    """
    proposal, former, before = _waiting(client), rows.read(client), registrations.audited(client)
    metadata = proposal.applied(former)
    approvals.check_name(settings, metadata.name, client, accepted=metadata.name)
    registrations.check_change(settings, client, metadata, approved=True)
    with unit_of_work():
        if not acceptance.acts_for(proposal.by, client):
            text = f"the ENT operator who asked for this change acts for {client.name} no longer: refuse it"
            raise registrations.state_error(text, FaultCode.ASKER_LEFT)
        registrations.change(client, metadata)
        client.pending_metadata = None
        bind(client, former, metadata)
        changed = changes.difference(before, registrations.audited(client))
        log.record(ClientChanged(client_id=client.id, change="proposal accepted", **changed))
        acceptance.enqueue(client, "change_accepted", [proposal.by])


def refuse(client: Client, reason: str) -> None:
    """Refuse the change that waits: the registration stays as it is.

    Raises:
        RegistrationRefusedError: no proposal waits, or the client was changed after it was read.
    """
    proposal, before = _waiting(client), registrations.audited(client)
    with unit_of_work():
        registrations.count_change(client)
        client.pending_metadata = None
        changed = changes.difference(before, registrations.audited(client))
        log.record(ClientDeclined(client_id=client.id, change="proposal refused", reason=reason, **changed))
        acceptance.enqueue(client, "change_refused", [proposal.by], reason=reason)


def _waiting(client: Client) -> Proposal:
    proposal = Proposal.of(client)
    if proposal is None:
        raise RegistrationRefusedError(
            Fault("", f"{client.name}: no change of its operator waits", code=FaultCode.NOT_WAITING)
        )
    return proposal
