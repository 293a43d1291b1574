"""Changes of an ENT that its operator asks for and the académie decides: another host, a name like that of another ENT.

A proposal waits in `Client.pending_metadata`, and nothing of it is in force before the engineer accepts it. It has the
changed fields alone, so that what the engineer changes meanwhile stays. What needs no acceptance is changed at once.

The form of the ENT operator shows the registration with the proposal. What the form has when it is sent takes the place
of the proposal, and ends it if nothing is left to accept.

Other paths on the servers that the académie accepted are in force at once: the ENT is theirs to move there, as it is
theirs to change the secret. A page of the ENT that leads anywhere could still lead people away, so the engineers and
the other operators get a mail with the former addresses, and each of them can write these back.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from idp.audit.registry_events import ClientDeclined
from idp.clients import names
from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings
from idp.db import unit_of_work
from idp.desk.alerts import of_alert
from idp.desk.ents import acceptance
from idp.desk.team import invitations
from idp.registration import approvals, registrations, rows
from idp.registration.declarations import Kind
from idp.registration.faults import FaultCode
from idp.registration.invitations import bind
from idp.registration.metadata import FIELDS, ClientMetadata, uris
from idp.throttle import guard, limits

# The kinds of the fields that wait together: an ENT that moves to another server moves as a whole.
_ADDRESSES = frozenset({Kind.URI, Kind.URIS, Kind.PROFILE_URIS, Kind.KEYS})


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

    @property
    def key(self) -> str:
        """The mark of the proposal in the form that shows it."""
        return self.asked_at.isoformat()

    def applied(self, former: ClientMetadata) -> ClientMetadata:
        """Return a registration with the changed fields."""
        return rows.with_fields(former, self.values)


def edit(settings: Settings, client: Client, metadata: ClientMetadata, staff_id: uuid.UUID, shown: str) -> str:
    """Change a registration as its ENT operator: at once what needs no acceptance; the rest waits for the académie.

    `shown` is the key of the proposal that the form showed, or an empty text. Return the word that tells the next page
    what was done.

    Raises:
        RegistrationRefusedError: with every fault that the académie cannot accept either; or another proposal waits
            than the form showed, or a change that the ENT itself asked for; or the person does not act for the ENT, or
            asked for too much.
    """
    former, standing = rows.read(client), Proposal.of(client)
    if shown != (standing.key if standing else ""):
        raise registrations.state_error("another change waits by now", FaultCode.CHANGED_MEANWHILE)
    asked = rows.shown_fields(metadata, _waiting(settings, client, former, metadata))
    if metadata.name != former.name:
        accepted = metadata.name if "name" in asked else former.name
        approvals.check_name(settings, metadata.name, client, accepted=accepted)
    registrations.check_change(settings, client, metadata, approved=bool(asked))
    at_once = replace(metadata, **{name: getattr(former, name) for name in asked})
    stays = asked == (standing.values if standing else {})
    moved = _moved(client, former, at_once)
    _count_move(client, staff_id, moved)
    with unit_of_work():
        if at_once != former:
            approvals.write(client, at_once)
            _tell_moved(client, moved, staff_id)
        if asked and not stays:
            _propose(client, asked, staff_id)
        elif standing and not asked:
            approvals.drop(client, "proposal withdrawn")
        if standing and not stays:
            _tell_withdrawn(client, standing, staff_id)
    changes_now = at_once != former
    if stays:
        return "change" if changes_now else "identique"
    if standing and asked:
        return "remplace"
    if standing:
        return "change-retire" if changes_now else "retire"
    return "en-partie" if changes_now else "attend"


def _waiting(settings: Settings, client: Client, former: ClientMetadata, metadata: ClientMetadata) -> list[str]:
    """Return the fields of a change that wait for the académie; none while the ENT itself waits for it."""
    if client.waiting_since is not None:
        return []
    changed = [field for field in FIELDS if getattr(former, field.name) != getattr(metadata, field.name)]
    moves = bool(approvals.new_hosts(former, metadata))
    is_strange = bool(names.find_fault(settings, metadata.name, client, former.name))
    waits = {"name": is_strange} | {field.name: moves for field in FIELDS if field.kind in _ADDRESSES}
    return [field.name for field in changed if waits.get(field.name, False)]


def _moved(client: Client, former: ClientMetadata, metadata: ClientMetadata) -> list[list[Any]]:
    """Return the addresses and keys that change at once: the field, the former ones and the new ones.

    A waiting ENT is closed, and the académie reads it as a whole before it opens.
    """
    if client.waiting_since is not None:
        return []
    before, after = uris(former), uris(metadata)
    names_changed = [field.name for field in FIELDS if field.kind in _ADDRESSES]
    names_changed = [name for name in names_changed if getattr(former, name) != getattr(metadata, name)]
    return [[name, before.get(name, []), after.get(name, [])] for name in names_changed]


def _count_move(client: Client, staff_id: uuid.UUID, moved: Sequence[Any]) -> None:
    """Count a change of addresses, so that nobody floods the others with mails, under which a bad one is not seen."""
    if moved and not isinstance(guard.take(limits.ENT_MOVES, f"{staff_id} {client.id}"), guard.Granted):
        text = f"this ENT operator changed addresses of {client.name} too often: wait until tomorrow"
        raise registrations.state_error(text, FaultCode.MANY_MOVES)


def _tell_moved(client: Client, moved: Sequence[Any], staff_id: uuid.UUID) -> None:
    if moved:
        recipients = {*of_alert(staff_id, None), *(role.staff_id for role in acceptance.operators(client))} - {staff_id}
        acceptance.tell(client, "moved", recipients, by=staff_id, moved=list(moved))


def _tell_withdrawn(client: Client, proposal: Proposal, staff_id: uuid.UUID) -> None:
    if proposal.by != staff_id:
        acceptance.tell(client, "withdrawn", [proposal.by], by=staff_id)


def _propose(client: Client, asked: dict[str, Any], staff_id: uuid.UUID) -> None:
    staff = invitations.get_for_change(staff_id)
    if staff is None or not acceptance.acts_for(staff_id, client):
        raise registrations.state_error("the person is no operator of this ENT", FaultCode.ASKER_LEFT)
    if client.pending_metadata is not None and not approvals.has_proposal(client):
        raise registrations.state_error("a change that the ENT itself asked for waits", FaultCode.OTHER_WAITS)
    acceptance.check_number(staff_id, replaced=client)
    with registrations.journaled(client, acceptance.PROPOSED):
        registrations.count_change(client)
        client.pending_metadata = {"asked_at": now().isoformat(), approvals.ASKED_BY: str(staff_id), "metadata": asked}
    acceptance.tell(client, "proposed", of_alert(staff_id, None), by=staff_id)


def withdraw(client: Client, shown: str, staff_id: uuid.UUID) -> None:
    """Drop the change that waits, for an ENT operator: the registration stays as it is.

    Raises:
        RegistrationRefusedError: no proposal waits, or another one than the page showed.
    """
    proposal = get(client)
    if proposal.key != shown:
        raise registrations.state_error("another change waits by now", FaultCode.CHANGED_MEANWHILE)
    with unit_of_work():
        approvals.drop(client, "proposal withdrawn")
        _tell_withdrawn(client, proposal, staff_id)


def accept(settings: Settings, client: Client) -> None:
    """Make the change that waits. The ENT stays in its sector: it knows each person by the same sub as before.

    A change of the client since it was read is a fault.

    Raises:
        RegistrationRefusedError: with every fault; or no proposal waits, or its person acts for the ENT no longer.
    """
    proposal, former = get(client), rows.read(client)
    metadata = proposal.applied(former)
    approvals.check_name(settings, metadata.name, client, accepted=metadata.name)
    registrations.check_change(settings, client, metadata, approved=True)
    with unit_of_work(), registrations.journaled(client, "proposal accepted"):
        if not acceptance.acts_for(proposal.by, client):
            text = f"the ENT operator who asked for this change acts for {client.name} no longer: refuse it"
            raise registrations.state_error(text, FaultCode.ASKER_LEFT)
        registrations.change(client, metadata)
        client.pending_metadata = None
        bind(client, former, metadata)
        acceptance.tell(client, "change_accepted", [proposal.by])


def refuse(client: Client, reason: str) -> None:
    """Refuse the change that waits: the registration stays as it is.

    Raises:
        RegistrationRefusedError: no proposal waits, or the client was changed after it was read.
    """
    proposal = get(client)
    with unit_of_work():
        approvals.drop(client, "proposal refused", ClientDeclined, reason=reason)
        acceptance.tell(client, "change_refused", [proposal.by], reason=reason)


def get(client: Client) -> Proposal:
    """Return the proposal of an ENT.

    Raises:
        RegistrationRefusedError: none waits.
    """
    proposal = Proposal.of(client)
    if proposal is None:
        raise registrations.state_error(f"{client.name}: no change of its operator waits", FaultCode.NOT_WAITING)
    return proposal
