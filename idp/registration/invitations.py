"""Invitations: initial access tokens (RFC 7591 1.2) by which ENTs may register themselves within given bounds.

An invitation counts once, or as often as the operator said. Its bounds are copied to each client that used it: they
hold for all its later changes too.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select, update

from idp import opaque
from idp.audit import changes, log
from idp.audit.registry_events import ClientInvited
from idp.clients.models import Client, ClientInvite
from idp.clock import now
from idp.db import db, unit_of_work
from idp.oidc.claims.release import SCOPES
from idp.oidc.client_auth.client import AUTH_METHODS
from idp.registration.metadata import is_host, urls
from idp.registration.sectors import hosts
from idp.registration.wanted import RegistrationRefused, Wanted
from idp.uai import is_uai, uai_fault

LONGEST_LABEL = 80
SUBJECTS = ("", "pairwise", "public")
"""What metadata have a word for."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a client that registers itself may ask for; what is empty is free.

    Attributes:
        scopes: those that it may have at most.
        hosts: those of all its addresses; if none, those of its registration, until an operator approves others.
        subject_type: `pairwise` or `public`.
        auth_method: how it authenticates.
    """

    scopes: Sequence[str]
    hosts: Sequence[str] = ()
    subject_type: str = ""
    auth_method: str = ""

    def faults(self, *, pkce: bool | None) -> Iterator[str]:
        """Yield what is wrong with the bounds of an invitation, a sentence each."""
        if "openid" not in self.scopes or set(self.scopes) - set(SCOPES):
            yield f"--scopes must contain openid and name only: {' '.join(SCOPES)}"
        yield from (
            f"--host {host!r}: not a host in lower case, without a port" for host in self.hosts if not is_host(host)
        )
        if self.subject_type not in SUBJECTS:
            yield f"--subject {self.subject_type!r}: must be one of {', '.join(filter(None, SUBJECTS))}"
        if self.auth_method not in ("", *AUTH_METHODS):
            yield f"--auth-method {self.auth_method!r}: must be one of {', '.join(AUTH_METHODS)}"
        if self.auth_method == "none" and pkce is False:
            yield "--no-pkce: a public client has no other proof than PKCE"


def invite(
    label: str, uais: Sequence[str], bounds: Bounds, life: timedelta, *, uses: int = 1, pkce: bool | None = None
) -> tuple[ClientInvite, str]:
    """Make an invitation; return it and its token, which is shown this once.

    Args:
        label: for whom it is, to the operators; to parents too when the ENT gives itself no name.
        uais: the schools that the ENT will serve; what it asks for itself changes nothing of that.
        bounds: what it may ask for.
        life: how long it may be used.
        uses: how many clients may register by it.
        pkce: whether PKCE is required of them; None for the default of this service.

    Raises:
        RegistrationRefused: with every fault.
    """
    faults = [f"--uai {uai_fault(one)}" for one in uais if not is_uai(one)]
    if not uais:
        faults.append("--uai: at least one school is needed; a service for everyone is registered by an operator")
    faults += bounds.faults(pkce=pkce)
    if not label.isprintable() or len(label) > LONGEST_LABEL:
        faults.append(f"--label must have {LONGEST_LABEL} printable characters at most")
    if faults:
        raise RegistrationRefused(faults)
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
        uses_left=uses,
        expires_at=now() + life,
    )
    with unit_of_work():
        db.session.add(row)
        log.record(ClientInvited(invite=str(row.id), change="made", after=changes.made(changes.snapshot(row))))
    return row, token


def find(token: str) -> ClientInvite | None:
    """Return an invitation that may still be used."""
    return db.session.scalar(select(ClientInvite).where(ClientInvite.digest == opaque.digest(token), *_open(now())))


def use(invitation: ClientInvite, client: Client) -> bool:
    """Count a use of an invitation for `client`, in the caller's transaction; False when no use is left."""
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
    client.bounds = asdict(given(invitation))
    log.record(ClientInvited(client_id=client.id, invite=str(invitation.id), change="used"))
    return True


def given(invitation: ClientInvite) -> Bounds:
    """Return the bounds that an invitation gives."""
    return Bounds(
        scopes=invitation.scopes,
        hosts=invitation.hosts,
        subject_type=invitation.subject_type,
        auth_method=invitation.auth_method,
    )


def bounds(client: Client) -> Bounds:
    """Return what a client may ask for: what its invitation said, or what it has if an operator registered it."""
    return Bounds(scopes=client.scopes) if client.bounds is None else Bounds(**client.bounds)


def bind(client: Client, former: Wanted, current: Wanted) -> None:
    """Hold a client that registered itself to what an operator changed, in the caller's transaction."""
    if client.bounds is None:
        return
    bound = Bounds(**client.bounds)
    if set(current.scopes.split()) != set(former.scopes.split()):
        bound = replace(bound, scopes=client.scopes)
    if bound.auth_method:
        bound = replace(bound, auth_method=client.auth_method)
    if bound.hosts:
        named = {host for uris in urls(current).values() for host in hosts(uris)}
        bound = replace(bound, hosts=sorted({*bound.hosts, *named}))
    client.bounds = asdict(bound)


@unit_of_work()
def revoke(invitation: uuid.UUID) -> bool:
    """Revoke an invitation; return False if there is none of that id that may still be used."""
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


def _open(moment: datetime) -> tuple[ColumnElement[bool], ...]:
    return ClientInvite.uses_left > 0, ClientInvite.expires_at > moment
