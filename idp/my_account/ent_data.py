"""The rules of « Mes données dans les ENT »: which ENT receives which data, and when it was entered."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from idp.accounts import directory
from idp.accounts.models import Account, Child
from idp.audit.models import AuditEntry
from idp.clients import audience, registry
from idp.clients.models import Audience, Client, ClientSchool
from idp.clients.registry import Registration
from idp.db import db

_ENTERED = "code.issued"
"""The kind of the journal entry for each entry into an ENT; the protocol's own statement writes it."""
_DATES = 5


@dataclass(frozen=True)
class Receiver:
    """An ENT, the data that it may receive, and the last times that the person entered it.

    `scopes` are those that it may ask for and those that it always receives; `release_username` adds the identifier.
    `everyone` says that it is a service for all families, and `serves` that it may receive the data today.
    """

    name: str
    scopes: frozenset[str]
    release_username: bool
    everyone: bool
    children: Sequence[Child]
    entries: Sequence[datetime]
    serves: bool


def entrances(account: Account) -> list[Registration]:
    """Return the ENTs that serve the person's schools and can be entered from here, by name."""
    return [ent for ent in registry.all_serving(school.uai for school in directory.schools(account)) if ent.home]


def entrances_of_children(account: Account) -> list[tuple[Registration, list[Child]]]:
    """Return `entrances`, each with the person's children in its schools."""
    ents = entrances(account)
    children = {ent.key: served for ent, served in audience.ents_of_children(account, ents[0])} if ents else {}
    return [(ent, children[ent.key]) for ent in ents]


def names(account: Account) -> list[str]:
    """Return the names of the ENTs of the person's schools, for the mails about the account."""
    return [ent.name for ent in entrances(account)]


def receivers(account: Account) -> list[Receiver]:
    """Return the ENTs that may receive the person's data, by name, then those entered once that no longer may.

    A service for everyone is among them if it was ever entered.
    """
    uais = {school.uai for school in directory.schools(account)}
    serving = select(ClientSchool.client_id).where(ClientSchool.uai.in_(uais))
    entered = select(AuditEntry.client_id).where(AuditEntry.account_id == account.id, AuditEntry.kind == _ENTERED)
    rows = db.session.scalars(
        select(Client)
        .where((Client.disabled_at.is_(None) & Client.id.in_(serving)) | Client.id.in_(entered))
        .order_by(func.lower(Client.name), Client.id)
    ).all()
    entries = [_receiver(account, row) for row in rows]
    return sorted(entries, key=lambda receiver: not receiver.serves)


def _receiver(account: Account, client: Client) -> Receiver:
    served = set(client.uais) if client.disabled_at is None else set()
    scopes = frozenset(client.scopes) | frozenset(client.always_claims)
    children = [child for child in account.children if child.school.uai in served]
    return Receiver(
        name=client.name,
        scopes=scopes,
        release_username=client.release_username,
        everyone=client.audience is Audience.EVERYONE,
        children=children if "ent" in scopes else [],
        entries=_entries(account.id, client.id),
        serves=client.disabled_at is None and audience.may_know(client.id, account.id),
    )


def _entries(account_id: uuid.UUID, client_id: uuid.UUID) -> list[datetime]:
    return list(
        db.session.scalars(
            select(AuditEntry.at)
            .where(AuditEntry.account_id == account_id, AuditEntry.client_id == client_id, AuditEntry.kind == _ENTERED)
            .order_by(AuditEntry.at.desc())
            .limit(_DATES)
        )
    )
