"""Changes of registrations by engineers; changes of hosts by a client that registered itself wait for them.

Somebody with a stolen registration access token could otherwise lead people, and what their codes open, to another
site. New hosts of the redirect URIs wait, and of the other URIs those that the invitation does not name. Until an
engineer approves the change, the registration stays as it is, and the answer says so: RFC 7591, 3.2.1 lets the server
replace values, and the client reads what is registered. An error would be wrong, since the request is kept.

A client stays in its sector after the approval, so that everybody keeps their `sub`.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from idp.audit import changes, log
from idp.audit.registry_events import ClientChanged, ClientChangedItself
from idp.clients import names
from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings
from idp.db import unit_of_work
from idp.registration import invitations, json_metadata, registrations, rows, sectors
from idp.registration.faults import Fault, FaultCode, RegistrationRefusedError
from idp.registration.invitations import Bounds
from idp.registration.metadata import ClientMetadata, uris

ASKED_BY = "by"
"""The key of the person of the desk who asked for a change that waits; the ENT itself asked for one without it."""
_NOT_YET = "an engineer of this service must approve the new hosts; until then the registration is as this answer says"


def hosts_to_approve(client: Client, metadata: ClientMetadata, bounds: Bounds) -> set[str]:
    """Return the hosts that an engineer must approve before the URIs of a client that registered itself have them.

    They are the hosts that no redirect URI has yet. If the invitation names hosts, the other URIs may have one of
    those, or one of the redirect URIs. If it names none, each new host that leads people, tokens or keys somewhere
    needs the approval too.

    Raises:
        RegistrationRefusedError: a URI has a host that is neither in the invitation nor new in the redirect URIs.
    """
    added = registrations.new_hosts(client, metadata)
    if bounds.hosts:
        replace(bounds, hosts=[*bounds.hosts, *added]).check_hosts(metadata)
        return added
    return added | (leading_hosts(metadata) - leading_hosts(rows.read(client)))


def leading_hosts(metadata: ClientMetadata) -> set[str]:
    """Return the hosts of all URIs but the logo, which is shown nowhere."""
    return {host for own in _leading_uris(metadata).values() for host in sectors.hosts(own)}


def _leading_uris(metadata: ClientMetadata) -> dict[str, list[str]]:
    return {name: list(own) for name, own in uris(metadata).items() if name != "logo_uri"}


def _check_hosts(former: ClientMetadata, metadata: ClientMetadata) -> None:
    """Check that a change by an ENT operator gives no URI of an accepted ENT a host that none of its URIs has.

    The desk then has the change wait for the engineer (`idp.desk.ents.proposals`).

    Raises:
        RegistrationRefusedError: with a fault for each field.
    """
    known = leading_hosts(former)
    strange = [name for name, own in _leading_uris(metadata).items() if sectors.hosts(own) - known]
    if strange:
        text = "has a new host: an engineer of the académie must accept it"
        raise RegistrationRefusedError(*(Fault(name, text, code=FaultCode.NEW_HOST) for name in strange))


def wait(
    settings: Settings, client: Client, metadata: ClientMetadata, members: dict[str, Any], hosts: Collection[str]
) -> None:
    """Keep a checked change until an engineer approves its `hosts`, in the caller's transaction.

    It replaces a former one.

    Args:
        settings: those of this service.
        client: the client as it was read.
        metadata: its registration after the change, which `registrations.check_change` accepted.
        members: the JSON that asked for the change.
        hosts: the hosts to approve.

    Raises:
        RegistrationRefusedError: the name is refused, or the registration changed at this moment.
    """
    check_name(settings, metadata.name, client, accepted=client.name)
    registrations.count_change(client)
    kept = {"hosts": sorted(hosts), "metadata": json_metadata.kept(members, metadata)}
    client.pending_metadata = {"asked_at": now().isoformat(), **kept}
    log.record(ClientChangedItself(client_id=client.id, change="waits for approval"))


def withdraw(client: Client) -> None:
    """Drop the change that waits, in the caller's transaction, because the client asked for something else."""
    if client.pending_metadata is not None and not has_proposal(client):
        client.pending_metadata = None
        log.record(ClientChangedItself(client_id=client.id, change="no longer waits for approval"))


def pending(client: Client) -> dict[str, Any]:
    """Return the member of an answer that says what waits for approval; nothing if no change waits."""
    asked = client.pending_metadata
    if asked is None or has_proposal(client):
        return {}
    redirect_uris = asked["metadata"]["redirect_uris"]
    waiting = {"hosts": asked["hosts"], "redirect_uris": redirect_uris, "asked_at": asked["asked_at"]}
    return {"pending_approval": {**waiting, "description": _NOT_YET}}


def has_proposal(client: Client) -> bool:
    """Return whether a change waits that an ENT operator asked for at the desk."""
    return ASKED_BY in (client.pending_metadata or {})


def approve(settings: Settings, client_id: str, hosts: Sequence[str] = ()) -> tuple[Client, ClientMetadata, str | None]:
    """Make the change that waits; return the client, its former registration, and a secret if it needs a new one.

    Args:
        settings: those of this service.
        client_id: the client.
        hosts: the new hosts that the engineer approves; if some are given, they must be all new hosts of the change.

    Raises:
        RegistrationRefusedError: no change waits, or it has other hosts, or a fault by now.
    """
    client = _waiting(client_id)
    former, bounds = rows.read(client), invitations.bounds(client)
    metadata = json_metadata.read((client.pending_metadata or {})["metadata"], bounds, former)
    added = hosts_to_approve(client, metadata, bounds)
    check_name(settings, metadata.name, client, accepted=metadata.name)
    if hosts and added != set(hosts):
        raise registrations.state_error(f"the new hosts are {', '.join(sorted(added)) or 'none'}: nothing was approved")
    registrations.check_change(settings, client, metadata, approved=True)
    before = registrations.audited(client)
    with unit_of_work():
        secret = registrations.change(client, metadata)
        client.pending_metadata = None
        invitations.bind(client, metadata, metadata)
        changed = changes.difference(before, registrations.audited(client))
        log.record(ClientChanged(client_id=client.id, change="approved", **changed))
    return client, former, secret


def change(
    settings: Settings, client: Client, metadata: ClientMetadata, *, by_ent_operator: bool = False
) -> str | None:
    """Change a registration as an engineer or an ENT operator; return a secret if the client needs a new one.

    Args:
        settings: those of this service.
        client: the client as it was read.
        metadata: its registration after the change.
        by_ent_operator: the ENT operator gives the ENT no name of another one, and an accepted ENT no new host.

    Raises:
        RegistrationRefusedError: with every fault.
    """
    former, before = rows.read(client), registrations.audited(client)
    if by_ent_operator and metadata.name != former.name:
        check_name(settings, metadata.name, client, accepted=former.name)
    registrations.check_change(settings, client, metadata)
    if by_ent_operator and client.waiting_since is None:
        _check_hosts(former, metadata)
    with unit_of_work():
        secret = registrations.change(client, metadata)
        invitations.bind(client, former, metadata)
        changed = changes.difference(before, registrations.audited(client))
        log.record(ClientChanged(client_id=client.id, change="changed", **changed))
    return secret


@unit_of_work()
def reject(client_id: str) -> Client:
    """Drop the change that waits, by an engineer: the registration stays as it is.

    Raises:
        RegistrationRefusedError: no change waits.
    """
    client = _waiting(client_id)
    before = registrations.audited(client)
    registrations.count_change(client)
    client.pending_metadata = None
    changed = changes.difference(before, registrations.audited(client))
    log.record(ClientChanged(client_id=client.id, change="rejected", **changed))
    return client


def check_name(settings: Settings, name: str, client: Client, *, accepted: str) -> None:
    """Check the name of a client; see `names.find_fault`.

    Raises:
        RegistrationRefusedError: parents would take the client for another ENT, or for this service.
    """
    if fault := names.find_fault(settings, name, client, accepted):
        raise RegistrationRefusedError(Fault("name", fault, code=FaultCode.NAME_TAKEN))


def _waiting(client_id: str) -> Client:
    client = registrations.get(client_id)
    if client.pending_metadata is None:
        raise registrations.state_error(f"{client.name}: no change waits for approval")
    if has_proposal(client):
        raise registrations.state_error(
            f"{client.name}: its operator asked for the change; use `idp client accept` or `refuse`"
        )
    return client
