"""Invitations: initial access tokens (RFC 7591, 1.2) by which ENTs register themselves within given bounds.

An invitation serves once, or as often as the engineer said. Its bounds are copied to each client that used it, and
hold for all later changes of the client.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, select, update

from idp import opaque
from idp.audit import changes, log
from idp.audit.registry_events import ClientInvited
from idp.clients.models import Client, ClientInvite
from idp.clock import now
from idp.db import db, unit_of_work
from idp.registration.checks import PUBLIC_WITHOUT_PKCE, is_host
from idp.registration.faults import Fault, RegistrationRefusedError
from idp.registration.metadata import BY_NAME, ClientMetadata, uris
from idp.registration.sectors import hosts
from idp.uai import is_uai, uai_fault

LONGEST_LABEL = 80
SUBJECTS = BY_NAME["subject"].offered


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a client that registers itself may ask for; an empty bound allows everything.

    Without hosts, all URIs have those of the registration, until an engineer approves others.
    """

    scopes: Sequence[str]
    hosts: Sequence[str] = ()
    subject_type: str = ""
    auth_method: str = ""

    def required(self) -> dict[str, str]:
        """Return the values that the bounds leave no choice of, by field."""
        bounds = {"subject": self.subject_type, "auth_method": self.auth_method}
        return {name: value for name, value in bounds.items() if value}

    def find_faults(self, *, pkce: bool | None) -> Iterator[Fault]:
        """Yield what is wrong with the bounds of an invitation."""
        scopes, methods = BY_NAME["scopes"].values, BY_NAME["auth_method"].values
        if "openid" not in self.scopes or set(self.scopes) - set(scopes):
            yield Fault("scopes", f"must contain openid and name only: {', '.join(scopes)}")
        for host in self.hosts:
            if not is_host(host):
                yield Fault("hosts", f"{host!r}: not a host in lower case, without a port")
        if self.subject_type not in ("", *SUBJECTS):
            yield Fault("subject", f"{self.subject_type!r}: must be one of {', '.join(SUBJECTS)}")
        if self.auth_method not in ("", *methods):
            yield Fault("auth_method", f"{self.auth_method!r}: must be one of {', '.join(methods)}")
        if self.auth_method == "none" and pkce is False:
            yield Fault("pkce_required", PUBLIC_WITHOUT_PKCE)

    def check_hosts(self, metadata: ClientMetadata, former: ClientMetadata | None = None) -> None:
        """Check that all URIs of a registration have a host of the bounds.

        Args:
            metadata: the registration.
            former: the registration before a change; each field may keep its hosts.

        Raises:
            RegistrationRefusedError: a URI has another host.
        """
        if not self.hosts:
            return
        kept = _all_uris(former) if former else {}
        for name, own in _all_uris(metadata).items():
            if strange := hosts(own) - set(self.hosts) - hosts(kept.get(name, [])):
                raise RegistrationRefusedError(Fault(name, f"{', '.join(sorted(strange))}: no host of the invitation"))


def _all_uris(metadata: ClientMetadata) -> dict[str, list[str]]:
    return uris(metadata) | {name: [text] for name, text in metadata.translations.items() if "_uri#" in name}


def invite(
    label: str,
    uais: Sequence[str],
    bounds: Bounds,
    life: timedelta,
    *,
    uses: int = 1,
    pkce: bool | None = None,
    release_username: bool = False,
) -> tuple[ClientInvite, str]:
    """Make an invitation; return it and its token, of which only a digest is kept.

    Args:
        label: whom it is for; also the name of an ENT that gives itself none.
        uais: the schools that the ENT will serve; it cannot change them itself.
        bounds: what it may ask for.
        life: how long the invitation may be used.
        uses: how many clients may register by it.
        pkce: whether PKCE is required of them; None for the default of this service.
        release_username: whether they get the identifier that a person signs in with.

    Raises:
        RegistrationRefusedError: with every fault.
    """
    if faults := [*_faults(label, uais), *bounds.find_faults(pkce=pkce)]:
        raise RegistrationRefusedError(*faults)
    token = opaque.new_value()
    row = ClientInvite(
        id=uuid.uuid4(),
        digest=opaque.digest(token),
        label=label,
        uais=list(dict.fromkeys(uais)),
        scopes=list(dict.fromkeys(bounds.scopes)),
        hosts=list(dict.fromkeys(bounds.hosts)),
        subject_type=bounds.subject_type,
        auth_method=bounds.auth_method,
        pkce_required=pkce,
        release_username=release_username,
        uses_left=uses,
        expires_at=now() + life,
    )
    with unit_of_work():
        db.session.add(row)
        log.record(ClientInvited(invite=str(row.id), change="made", after=changes.made(changes.snapshot(row))))
    return row, token


def _faults(label: str, uais: Sequence[str]) -> Iterator[Fault]:
    yield from (Fault("uais", uai_fault(uai)) for uai in uais if not is_uai(uai))
    if not uais:
        yield Fault("uais", "needs at least one school; an engineer registers a service for everyone")
    if not label.isprintable() or len(label) > LONGEST_LABEL:
        yield Fault("label", f"must have {LONGEST_LABEL} printable characters at most")


def find(token: str) -> ClientInvite | None:
    """Return the invitation of a token if it may still be used, or None."""
    return db.session.scalar(select(ClientInvite).where(ClientInvite.digest == opaque.digest(token), *_open(now())))


def use(invitation: ClientInvite, client: Client) -> bool:
    """Count a use of an invitation by `client`, in the caller's transaction; return False if no use is left."""
    moment = now()
    used = db.session.scalar(
        update(ClientInvite)
        .where(ClientInvite.id == invitation.id, *_open(moment))
        .values(uses_left=ClientInvite.uses_left - 1, used_at=moment)
        .returning(ClientInvite.id)
        .execution_options(synchronize_session=False)
    )
    if used is None:
        return False
    client.invite_id = invitation.id
    client.bounds = asdict(bounds_of(invitation))
    log.record(ClientInvited(client_id=client.id, invite=str(invitation.id), change="used"))
    return True


def bounds_of(invitation: ClientInvite) -> Bounds:
    """Return the bounds of an invitation."""
    return Bounds(
        scopes=invitation.scopes,
        hosts=invitation.hosts,
        subject_type=invitation.subject_type,
        auth_method=invitation.auth_method,
    )


def bounds(client: Client) -> Bounds:
    """Return the bounds of a client: those of its invitation, or what it has if an engineer registered it."""
    return Bounds(scopes=client.scopes) if client.bounds is None else Bounds(**client.bounds)


def bind(client: Client, former: ClientMetadata, current: ClientMetadata) -> None:
    """Change the bounds of a client that registered itself to what an engineer changed, in the caller's transaction.

    Of the hosts, only those of the redirect URIs open anything: another field keeps its own (`Bounds.check_hosts`).
    """
    if client.bounds is None:
        return
    bound = Bounds(**client.bounds)
    if set(current.scopes) != set(former.scopes):
        bound = replace(bound, scopes=client.scopes)
    if bound.auth_method:
        bound = replace(bound, auth_method=client.auth_method)
    if bound.hosts:
        bound = replace(bound, hosts=sorted({*bound.hosts, *hosts(current.redirect_uris)}))
    client.bounds = asdict(bound)


@unit_of_work()
def revoke(invitation: uuid.UUID) -> bool:
    """Revoke an invitation; return False if there is none that may still be used."""
    moment = now()
    ended = db.session.scalar(
        update(ClientInvite)
        .where(ClientInvite.id == invitation, *_open(moment))
        .values(expires_at=moment)
        .returning(ClientInvite.id)
    )
    if ended is None:
        return False
    log.record(ClientInvited(invite=str(invitation), change="revoked"))
    return True


def listed() -> list[ClientInvite]:
    """Return all invitations, youngest first."""
    return list(db.session.scalars(select(ClientInvite).order_by(ClientInvite.created_at.desc())))


def shown(invitation: ClientInvite) -> dict[str, Any]:
    """Return an invitation as JSON values, without its digest."""
    used_at = invitation.used_at
    return {
        "invite": str(invitation.id),
        "label": invitation.label,
        "uais": invitation.uais,
        "scopes": invitation.scopes,
        "hosts": invitation.hosts,
        "subject": invitation.subject_type,
        "auth_method": invitation.auth_method,
        "pkce_required": invitation.pkce_required,
        "release_username": invitation.release_username,
        "uses_left": invitation.uses_left,
        "created_at": invitation.created_at.isoformat(),
        "expires_at": invitation.expires_at.isoformat(),
        "used_at": used_at.isoformat() if used_at else None,
    }


def _open(moment: datetime) -> tuple[ColumnElement[bool], ...]:
    return ClientInvite.uses_left > 0, ClientInvite.expires_at > moment
