"""Registrations: made, changed, disabled and enabled, each in one transaction with its audit entry."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Select, select, update
from sqlalchemy.orm.attributes import set_committed_value

from idp import opaque
from idp.audit import changes, log
from idp.audit.kinds import Event
from idp.audit.registry_events import ClientChanged
from idp.clients.models import Client, SubjectType
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.oidc.client_auth.client import SECRET_METHODS
from idp.registration import access_tokens, checks, rows, sectors
from idp.registration.faults import Fault, FaultCode, RegistrationRefusedError
from idp.registration.metadata import ClientMetadata
from idp.terminal import instant

FORMER_SECRET_KEPT = timedelta(hours=24)
_OTHER_SECTOR = "would move the client to another sector, and change every sub; register a new client"


def register(
    settings: Settings, metadata: ClientMetadata, *, client_id: str = "", secret: str = ""
) -> tuple[Client, str | None]:
    """Register a client; return it and its secret, of which only a digest is kept.

    Raises:
        RegistrationRefusedError: with every fault.
    """
    check(settings, metadata)
    sector = sectors.find(metadata)
    with unit_of_work():
        client, shown = add(metadata, sector, client_id=client_id, secret=secret)
        log.record(ClientChanged(client_id=client.id, change="registered", after=changes.made(audited(client))))
    return client, shown


def check(settings: Settings, metadata: ClientMetadata) -> None:
    """Check a registration before it is written.

    Raises:
        RegistrationRefusedError: with every fault.
    """
    faults = list(checks.find_faults(settings, metadata))
    if faults:
        raise RegistrationRefusedError(*faults)


def add(metadata: ClientMetadata, sector: str, *, client_id: str = "", secret: str = "") -> tuple[Client, str | None]:
    """Add a checked registration in the caller's transaction, in the sector of `sectors.find`; see `register`."""
    client = Client(
        id=uuid.uuid4(),
        client_id=client_id or uuid.uuid4().hex[:20],
        sector=sector,
        subject_salt=sectors.salt(sector),
        version=1,
    )
    rows.write(client, metadata)
    shown = None
    if metadata.auth_method in SECRET_METHODS:
        shown = secret or opaque.new_value()
        _set_secret(client, shown)
    db.session.add(client)
    return client, shown


def change(client: Client, metadata: ClientMetadata) -> str | None:
    """Change a registration in the caller's transaction; return a new secret if the client needs one from now on.

    Args:
        client: the client as it was read.
        metadata: its registration after the change, which `check_change` accepted.

    Raises:
        RegistrationRefusedError: see `count_change`.
    """
    count_change(client)
    before = _sector_uris(rows.read(client))
    rows.write(client, metadata)
    sector = sectors.named(metadata)
    is_moved = metadata.subject != SubjectType.PAIRWISE.value and _sector_uris(metadata) != before
    if is_moved and sector != client.sector:  # it names sessions by another `sid` from now on
        client.sector, client.subject_salt = sector, sectors.salt(sector)
    if metadata.auth_method not in SECRET_METHODS:
        client.secret_digest = client.former_secret_digest = client.former_secret_until = client.secret_at = None
        return None
    if client.secret_digest is not None:
        return None
    shown = opaque.new_value()
    _set_secret(client, shown)
    return shown


def _set_secret(client: Client, secret: str) -> None:
    client.secret_digest, client.secret_at = opaque.digest(secret), now()


def check_change(settings: Settings, client: Client, metadata: ClientMetadata, *, approved: bool = False) -> None:
    """Check a change before the unit of work that writes it: the check may read a document by HTTP.

    Args:
        settings: those of this service.
        client: the client as it was read.
        metadata: its registration after the change.
        approved: an engineer approved new hosts of the redirect URIs: the client stays in its sector.

    Raises:
        RegistrationRefusedError: with every fault; a change that would give people another `sub` is one.
    """
    former = rows.read(client)
    check(settings, replace(metadata, uais=metadata.uais or client.asked_uais))
    if (metadata.subject, metadata.subject_prefix) != (former.subject, former.subject_prefix):
        raise RegistrationRefusedError(
            Fault("subject", "cannot change: the ENT would take everybody for a new person; register a new client")
        )
    if _sector_uris(metadata) == _sector_uris(former):
        return
    sectors.check_published(metadata)
    if metadata.subject != SubjectType.PAIRWISE.value or sectors.named(metadata) == client.sector:
        return
    if metadata.sector_identifier_uri != former.sector_identifier_uri:
        raise RegistrationRefusedError(Fault("sector_identifier_uri", _OTHER_SECTOR, code=FaultCode.OTHER_SECTOR))
    if client.sector and not approved and new_hosts(client, metadata):
        if len(sectors.hosts(metadata.redirect_uris)) > 1:
            text = f"is needed on {client.sector}, because the redirect URIs have several hosts"
            raise RegistrationRefusedError(Fault("sector_identifier_uri", text, code=FaultCode.SEVERAL_HOSTS))
        raise RegistrationRefusedError(Fault("redirect_uris", _OTHER_SECTOR, code=FaultCode.OTHER_SECTOR))


def new_hosts(client: Client, metadata: ClientMetadata) -> set[str]:
    """Return the hosts of the redirect URIs of a change that no registered redirect URI has."""
    return sectors.hosts(metadata.redirect_uris) - sectors.hosts(client.redirect_uris)


def _sector_uris(metadata: ClientMetadata) -> tuple[list[str], str]:
    return list(metadata.redirect_uris), metadata.sector_identifier_uri


def count_change(client: Client) -> None:
    """Increment the version of a client in the caller's transaction, which locks the row.

    Raises:
        RegistrationRefusedError: the registration changed after it was read, so the checks of this change do not hold.
    """
    counted = db.session.scalar(
        update(Client)
        .where(Client.id == client.id, Client.version == client.version)
        .values(version=Client.version + 1)
        .returning(Client.version)
        .execution_options(synchronize_session=False)
    )
    if counted is None:
        text = "the registration was changed by somebody else at this moment; try again"
        raise RegistrationRefusedError(Fault("", text, code=FaultCode.CHANGED_MEANWHILE))
    set_committed_value(client, "version", counted)


@contextmanager
def journaled(
    client: Client, change: str, event: Callable[..., Event] = ClientChanged, **fields: str
) -> Iterator[None]:
    """Record what the block changes of a client, in the caller's transaction.

    Args:
        client: the client.
        change: the name of the change in the journal.
        event: the class of the event.
        fields: its other fields.
    """
    before = audited(client)
    yield
    log.record(event(client_id=client.id, change=change, **fields, **changes.difference(before, audited(client))))


def audited(client: Client) -> dict[str, Any]:
    """Return a registration as the audit keeps it: without secret, salt, or a digest of either."""
    return {
        **changes.snapshot(client, without=("registration_used_at", "secret_at", "charter_draft")),
        "uais": client.uais,
    }


def get(client_id: str) -> Client:
    """Return a client, enabled or not.

    Raises:
        RegistrationRefusedError: no client has this id.
    """
    return _read(select(Client), client_id)


def _locked(client_id: str) -> Client:
    """Return a client as the database has it now, its row locked until the caller's transaction ends; see `get`."""
    return _read(select(Client).with_for_update().execution_options(populate_existing=True), client_id)


def _read(statement: Select[Client], client_id: str) -> Client:
    client = db.session.scalar(statement.where(Client.client_id == client_id))
    if client is None:
        raise RegistrationRefusedError(Fault("", f"no client {client_id}"))
    return client


@unit_of_work()
def rotate_secret(
    client_id: str,
    *,
    keep: timedelta = FORMER_SECRET_KEPT,
    lost: bool = False,
    force: bool = False,
    secret: str = "",
) -> str:
    """Give a client a new secret and return it; the former secret works for `keep` more, so that the ENT can change.

    Args:
        client_id: the client.
        keep: how long the former secret works; zero ends it, and the one before, immediately.
        lost: nobody has the present secret: the new one replaces it, and the former keeps its end.
        force: end the former secret although its time is not over.
        secret: the new secret; by default a random one.

    Raises:
        RegistrationRefusedError: the client does not exist, has no secret, or was changed by somebody else just now; or
            its former secret still works, and a third one would end it.
    """
    client = get(client_id)
    if client.auth_method not in SECRET_METHODS:
        kind = "is a public client" if client.auth_method == "none" else f"authenticates by {client.auth_method}"
        raise state_error(f"{client.name} {kind}: it has no secret", FaultCode.NO_SECRET)
    until = client.former_secret_until
    if keep and not lost and not force and until is not None and until > now():
        raise state_error(
            f"{client.name}: the former secret works until {instant(until)}, and a third secret would end it now, "
            "although the ENT may still use it",
            FaultCode.FORMER_SECRET_WORKS,
        )
    secret = secret or opaque.new_value()
    with journaled(client, "secret rotated"):
        count_change(client)
        if not keep:
            client.former_secret_digest = client.former_secret_until = None
        elif not lost:
            client.former_secret_digest, client.former_secret_until = client.secret_digest, now() + keep
        _set_secret(client, secret)
    return secret


@unit_of_work()
def renew_access_token(client_id: str) -> str:
    """Return a new registration access token of a client that registered itself; the former one ends.

    Raises:
        RegistrationRefusedError: the client does not exist, or has no such token.
    """
    client = get(client_id)
    if client.registration_digest is None:
        raise state_error(f"{client.name} does not manage its registration itself")
    token = opaque.new_value()
    count_change(client)
    access_tokens.give(client, token)
    log.record(ClientChanged(client_id=client.id, change="registration token renewed"))
    return token


@unit_of_work()
def disable(client_id: str) -> None:
    """Disable a client: it gets no code, no token and no claim from now on.

    Raises:
        RegistrationRefusedError: the client does not exist.
    """
    client = _locked(client_id)
    if client.disabled_at is None:
        with journaled(client, "disabled"):
            client.disabled_at, client.version = now(), Client.version + 1


@unit_of_work()
def enable(client_id: str) -> None:
    """Enable a client; its codes and tokens that have not expired work again.

    Raises:
        RegistrationRefusedError: the client does not exist, waits for the académie, was refused by it, or ended its
            registration itself; the latter two are final.
    """
    client = _locked(client_id)
    if client.waiting_since is not None:
        raise state_error(f"{client.name} waits for the académie, which accepts it first")
    if client.declined_at is not None:
        raise state_error(f"{client.name} was refused on {instant(client.declined_at)}: register it again")
    if ended_itself(client):
        raise state_error(f"{client.name} ended its registration itself: invite it to register again")
    if client.disabled_at is not None:
        with journaled(client, "enabled"):
            client.disabled_at, client.version = None, Client.version + 1


def came_by_invitation(client: Client) -> bool:
    """Return whether a client registered itself (RFC 7591)."""
    return client.bounds is not None


def ended_itself(client: Client) -> bool:
    """Return whether a client ended its registration itself (RFC 7592, 2.3): it has no registration access token."""
    return client.registration_digest is None and came_by_invitation(client)


def state_error(text: str, code: FaultCode = FaultCode.OTHER) -> RegistrationRefusedError:
    """Return the refusal of an operation that the state of a registration does not allow."""
    return RegistrationRefusedError(Fault("", text, code=code))
