"""Changes of hosts by a client that registered itself: they wait for an operator.

A stolen registration access token could otherwise lead people, and what their codes open, to another site. Which hosts
wait says `dynamic_metadata.hosts_to_approve`: new ones of the redirect URIs, and of the other addresses those that the
invitation does not name. Until the
operator approves, the registration stays as it was, and the client is told so: RFC 7591 3.2.1 lets the server replace
values that were asked for, and the client reads in the answer what is registered. An error would say less: the request
is not invalid, and something was kept of it.

An approved client stays in its sector, so that everybody keeps their `sub`.
"""

from collections.abc import Collection, Sequence
from typing import Any

from idp.audit import changes, log
from idp.audit.registry_events import ClientChanged, ClientChangedItself
from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings
from idp.db import unit_of_work
from idp.registration import changes as registration
from idp.registration import invitations, json_metadata
from idp.registration.json_metadata import BadMetadata
from idp.registration.wanted import RegistrationRefused, Wanted

NOT_YET = "an operator of this service must approve the new hosts; until then the registration is as this answer says"


def wait(settings: Settings, client: Client, wanted: Wanted, metadata: dict[str, Any], hosts: Collection[str]) -> None:
    """Keep a checked change until an operator approves its `hosts`, in the caller's transaction.

    It takes the place of a change that waited before.

    Raises:
        BadMetadata: its name is taken.
        RegistrationRefused: somebody else changes the registration at this moment.
    """
    json_metadata.check_name(settings, wanted.name, client, given=client.name)
    registration.count_change(client)
    kept = {"hosts": sorted(hosts), "metadata": json_metadata.kept(metadata, wanted)}
    client.pending_metadata = {"asked_at": now().isoformat(), **kept}
    log.record(ClientChangedItself(client_id=client.id, change="waits for approval"))


def withdraw(client: Client) -> None:
    """Forget a change that waits, in the caller's transaction: the client asked for something else."""
    if client.pending_metadata is not None:
        client.pending_metadata = None
        log.record(ClientChangedItself(client_id=client.id, change="no longer waits for approval"))


def told(client: Client) -> dict[str, Any]:
    """Return what the client is told of a change that waits; nothing if there is none."""
    if client.pending_metadata is None:
        return {}
    asked = client.pending_metadata
    uris = asked["metadata"]["redirect_uris"]
    waiting = {"hosts": asked["hosts"], "redirect_uris": uris, "asked_at": asked["asked_at"]}
    return {"pending_approval": {**waiting, "description": NOT_YET}}


def approve(settings: Settings, client_id: str, hosts: Sequence[str] = ()) -> tuple[Client, Wanted, str | None]:
    """Make the change that waits; return the client, what was registered, and a secret if it needs one from now on.

    Args:
        settings: those of this service.
        client_id: whose change.
        hosts: if any, the new hosts that are approved, those of all addresses: a change with others is not made.

    Raises:
        RegistrationRefused: nothing waits, or what waits is not what is approved, or has a fault by now.
    """
    client = _waiting(client_id)
    former, bounds = registration.as_wanted(client), invitations.bounds(client)
    metadata = (client.pending_metadata or {})["metadata"]
    try:
        wanted = json_metadata.as_wanted(metadata, bounds, former)
        added = json_metadata.hosts_to_approve(client, wanted, bounds)
        json_metadata.check_name(settings, wanted.name, client, given=wanted.name)
    except BadMetadata as bad:
        raise RegistrationRefused([bad.description]) from bad
    if hosts and added != set(hosts):
        raise RegistrationRefused([f"the new hosts are {', '.join(sorted(added)) or 'none'}: nothing was approved"])
    registration.check_change(settings, client, wanted, approved=True)
    before = registration.told(client)
    with unit_of_work():
        secret = registration.change(client, wanted)
        client.pending_metadata = None
        invitations.bind(client, wanted, wanted)
        changed = changes.difference(before, registration.told(client))
        log.record(ClientChanged(client_id=client.id, change="approved", **changed))
    return client, former, secret


@unit_of_work()
def reject(client_id: str) -> Client:
    """Forget the change that waits: the registration stays as it is.

    Raises:
        RegistrationRefused: nothing waits.
    """
    client = _waiting(client_id)
    before = registration.told(client)
    registration.count_change(client)
    client.pending_metadata = None
    changed = changes.difference(before, registration.told(client))
    log.record(ClientChanged(client_id=client.id, change="rejected", **changed))
    return client


def _waiting(client_id: str) -> Client:
    client = registration.get(client_id)
    if client.pending_metadata is None:
        raise RegistrationRefused([f"{client.name}: no change waits for approval"])
    return client
