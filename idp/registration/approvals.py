"""Changes of registrations by engineers; changes of hosts by a client that registered itself wait for them.

Somebody with a stolen registration access token could otherwise lead people, and what their codes open, to another
site. New hosts of the redirect URIs wait, and of the other URIs those that the invitation does not name. Until an
engineer approves the change, the registration stays as it is, and the answer says so: RFC 7591, 3.2.1 lets the server
replace values, and the client reads what is registered. An error would be wrong, since the request is kept. It is
refused while a change waits that an ENT operator asked for at the desk: the one must not erase the other.

A client stays in its sector after the approval, so that everybody keeps their `sub`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from idp.audit import log
from idp.audit.kinds import Event
from idp.audit.registry_events import ClientChanged, ClientChangedItself
from idp.clients import names
from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings
from idp.db import unit_of_work
from idp.registration import invitations, registrations, rows
from idp.registration.checks import origin
from idp.registration.faults import Fault, FaultCode, RegistrationRefusedError
from idp.registration.metadata import BY_NAME, FIELDS, ClientMetadata, leading_uris

ASKED_BY = "by"
"""The key of the person of the desk who asked for a change that waits; the ENT itself asked for one without it."""
_OTHER_WAITS = (
    "a change that an operator of the ENT asked for waits for the engineer of this service; ask again after the answer"
)
_NOT_YET = "an engineer of this service must approve the new hosts; until then the registration is as this answer says"


def hosts_to_approve(client: Client, metadata: ClientMetadata, bounds: invitations.Bounds) -> set[str]:
    """Return what an engineer must approve before the URIs of a client that registered itself have it: `FIELD=HOST`.

    They are the new hosts of `new_hosts`, each with its field: who reads that a host gets a page must not approve that
    it gets codes. If the invitation names hosts, a URI may besides have only one of those, one
    of the redirect URIs, or one that its field has already.

    Raises:
        RegistrationRefusedError: a URI has a host that is neither in the invitation nor new in the redirect URIs.
    """
    former = rows.read(client)
    if bounds.hosts:
        added = registrations.new_hosts(client, metadata)
        replace(bounds, hosts=[*bounds.hosts, *added]).check_hosts(metadata, former)
    return set(_named(new_hosts(former, metadata, bounds.hosts)))


def _named(added: dict[str, set[str]]) -> list[str]:
    fields = {name: BY_NAME[name].member or name for name in added}
    return sorted(f"{fields[name]}={host}" for name, hosts in added.items() for host in hosts)


def new_hosts(former: ClientMetadata, metadata: ClientMetadata, invited: Sequence[str] = ()) -> dict[str, set[str]]:
    """Return the hosts that a change gives to URIs and that nobody accepted for them, by field.

    Each field is compared with itself: who accepted a host for a page about personal data did not accept that it
    receives codes. The hosts of the redirect URIs receive codes already, so all fields may have them.

    Args:
        former: the registration.
        metadata: the registration after the change.
        invited: the hosts that the invitation names; all URIs may have them but the redirect URIs.
    """
    receiving, before = places(former.redirect_uris), leading_uris(former)
    added = {}
    for name, own in leading_uris(metadata).items():
        known = receiving | places(before[name]) | (set() if name == "redirect_uris" else set(invited))
        if strange := places(own) - known:
            added[name] = strange
    return added


def places(uris: Iterable[str]) -> set[str]:
    """Return the origins of URIs as an engineer reads them: the host, with a port or the scheme if it is not usual."""
    return {origin(uri).removeprefix("https://") for uri in uris}


def wait(settings: Settings, client: Client, metadata: ClientMetadata) -> None:
    """Keep a checked change until an engineer approves its hosts, in the caller's transaction.

    It replaces a former one. The changed fields alone are kept: what the engineer changes meanwhile stays.

    Args:
        settings: those of this service.
        client: the client as it was read.
        metadata: its registration after the change, which `registrations.check_change` accepted.

    Raises:
        RegistrationRefusedError: the name is refused, a change waits that the ENT operator asked for, or the
            registration changed at this moment.
    """
    if has_proposal(client):
        raise registrations.state_error(_OTHER_WAITS)
    check_name(settings, metadata.name, client, accepted=client.name)
    registrations.count_change(client)
    former = rows.read(client)
    changed = [field.name for field in FIELDS if getattr(former, field.name) != getattr(metadata, field.name)]
    client.pending_metadata = {"asked_at": now().isoformat(), "metadata": rows.shown_fields(metadata, changed)}
    log.record(ClientChangedItself(client_id=client.id, change="waits for approval"))


def withdraw(client: Client) -> None:
    """Drop the change that waits, in the caller's transaction, because the client asked for something else."""
    if client.pending_metadata is not None and not has_proposal(client):
        client.pending_metadata = None
        log.record(ClientChangedItself(client_id=client.id, change="no longer waits for approval"))


def pending(client: Client) -> dict[str, Any]:
    """Return the member of an answer that says what waits for approval; nothing if no change waits."""
    if client.pending_metadata is None or has_proposal(client):
        return {}
    hosts = sorted({named.partition("=")[2] for named in pending_hosts(client) or []})
    redirect_uris = list(_proposed(client).redirect_uris)
    asked_at = client.pending_metadata["asked_at"]
    waiting = {"hosts": hosts, "redirect_uris": redirect_uris, "asked_at": asked_at, "description": _NOT_YET}
    return {"pending_approval": waiting}


def _proposed(client: Client) -> ClientMetadata:
    return rows.with_fields(rows.read(client), (client.pending_metadata or {})["metadata"])


def has_proposal(client: Client) -> bool:
    """Return whether a change waits that an ENT operator asked for at the desk."""
    return ASKED_BY in (client.pending_metadata or {})


def pending_hosts(client: Client) -> list[str] | None:
    """Return the new hosts of the change that waits as `FIELD=HOST`, or None if none waits."""
    if client.pending_metadata is None:
        return None
    invited = () if has_proposal(client) else invitations.bounds(client).hosts
    return _named(new_hosts(rows.read(client), _proposed(client), invited))


def approve(settings: Settings, client_id: str, hosts: Sequence[str] = ()) -> tuple[Client, ClientMetadata, str | None]:
    """Make the change that waits; return the client, its former registration, and a secret if it needs a new one.

    Args:
        settings: those of this service.
        client_id: the client.
        hosts: what the engineer approves, as `FIELD=HOST`; if some are given, they must be all of the change.

    Raises:
        RegistrationRefusedError: no change waits, or it has other hosts, or a fault by now.
    """
    client = _waiting(client_id)
    former, bounds, proposed = rows.read(client), invitations.bounds(client), _proposed(client)
    # an engineer may have taken a scope away since the client asked
    metadata = replace(proposed, scopes=tuple(scope for scope in proposed.scopes if scope in bounds.scopes))
    added = hosts_to_approve(client, metadata, bounds)
    check_name(settings, metadata.name, client, accepted=metadata.name)
    if hosts and added != set(hosts):
        raise registrations.state_error(f"the new hosts are {', '.join(sorted(added)) or 'none'}: nothing was approved")
    registrations.check_change(settings, client, metadata, approved=True)
    with unit_of_work(), registrations.journaled(client, "approved"):
        secret = registrations.change(client, metadata)
        client.pending_metadata = None
        invitations.bind(client, metadata, metadata)
    return client, former, secret


def change(settings: Settings, client: Client, metadata: ClientMetadata) -> str | None:
    """Change a registration as an engineer; return a secret if the client needs a new one.

    Args:
        settings: those of this service.
        client: the client as it was read.
        metadata: its registration after the change.

    Raises:
        RegistrationRefusedError: with every fault.
    """
    registrations.check_change(settings, client, metadata)
    with unit_of_work():
        return write(client, metadata)


def write(client: Client, metadata: ClientMetadata) -> str | None:
    """Write a checked change in the caller's transaction; return a secret if the client needs a new one.

    Raises:
        RegistrationRefusedError: the registration changed at this moment.
    """
    former = rows.read(client)
    with registrations.journaled(client, "changed"):
        secret = registrations.change(client, metadata)
        invitations.bind(client, former, metadata)
    return secret


@unit_of_work()
def reject(client_id: str) -> Client:
    """Drop the change that waits, by an engineer: the registration stays as it is.

    Raises:
        RegistrationRefusedError: no change waits.
    """
    client = _waiting(client_id)
    drop(client, "rejected")
    return client


def drop(client: Client, change: str, event: Callable[..., Event] = ClientChanged, **fields: str) -> None:
    """Drop the change that waits, in the caller's transaction; see `registrations.journaled`.

    Raises:
        RegistrationRefusedError: the client was changed after it was read.
    """
    with registrations.journaled(client, change, event, **fields):
        registrations.count_change(client)
        client.pending_metadata = None


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
            f"{client.name}: its operator asked for the change, which is accepted or refused as a whole"
        )
    return client
