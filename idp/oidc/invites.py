"""Invitations: initial access tokens (RFC 7591 1.2) by which an ENT may register itself, once, within given bounds."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select, update

from idp import opaque
from idp.audit import log
from idp.audit.events import ClientInvited
from idp.clients.models import Client, ClientInvite
from idp.clock import now
from idp.db import db
from idp.oidc.claims import SCOPES
from idp.oidc.client_metadata import is_uai
from idp.oidc.wanted import RegistrationRefused

LONGEST_LABEL = 80


def invite(label: str, uais: Sequence[str], scopes: Sequence[str], life: timedelta) -> tuple[ClientInvite, str]:
    """Make an invitation; return it and its token, which is shown this once.

    Args:
        label: for whom it is, to the operators; to parents too when the ENT gives itself no name.
        uais: the schools that the ENT will serve; what it asks for itself changes nothing of that.
        scopes: those that it may ask for at most.
        life: how long it may be used.

    Raises:
        RegistrationRefused: with every fault.
    """
    faults = [f"--uai {uai!r}: not a UAI (7 digits and their control letter)" for uai in uais if not is_uai(uai)]
    if not uais:
        faults.append("--uai: at least one school is needed; a service for everyone is registered by an operator")
    if "openid" not in scopes or set(scopes) - set(SCOPES):
        faults.append(f"--scopes must contain openid and name only: {' '.join(SCOPES)}")
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
        scopes=list(dict.fromkeys(scopes)),
        expires_at=now() + life,
    )
    db.session.add(row)
    log.record(ClientInvited(invite=str(row.id), change="made"))
    db.session.commit()
    return row, token


def find(token: str) -> ClientInvite | None:
    """Return an invitation that may still be used."""
    return db.session.scalar(select(ClientInvite).where(ClientInvite.digest == opaque.digest(token), *_open(now())))


def use(invitation: ClientInvite, client: uuid.UUID) -> bool:
    """Use an invitation up for `client`, in the caller's transaction; False when somebody else was first."""
    moment = now()
    used = db.session.scalar(
        update(ClientInvite)
        .where(ClientInvite.id == invitation.id, *_open(moment))
        .values(used_at=moment, client_id=client)
        .returning(ClientInvite.id)
    )
    return used is not None


def bounds(client: Client) -> list[str] | None:
    """Return the scopes that a client which registered itself may ask for; None for one that an operator registered."""
    return db.session.scalar(select(ClientInvite.scopes).where(ClientInvite.client_id == client.id))


def bind(client: Client) -> None:
    """Hold a client that registered itself to the scopes that an operator gave it, in the caller's transaction."""
    db.session.execute(update(ClientInvite).where(ClientInvite.client_id == client.id).values(scopes=client.scopes))


def revoke(invitation: uuid.UUID) -> bool:
    """Take an invitation back; False when there is no such one that may still be used."""
    moment = now()
    ended = db.session.scalar(
        update(ClientInvite)
        .where(ClientInvite.id == invitation, *_open(moment))
        .values(expires_at=moment)
        .returning(ClientInvite.id)
    )
    if ended is None:
        db.session.rollback()
        return False
    log.record(ClientInvited(invite=str(invitation), change="revoked"))
    db.session.commit()
    return True


def listed() -> list[ClientInvite]:
    """Return all invitations, youngest first."""
    return list(db.session.scalars(select(ClientInvite).order_by(ClientInvite.created_at.desc())))


def _open(moment: datetime) -> tuple[ColumnElement[bool], ...]:
    return ClientInvite.used_at.is_(None), ClientInvite.expires_at > moment
