"""`/mon-compte/ent`: « Mes données dans les ENT »: which ENT receives which data, and when it was entered."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, Response, make_response, render_template
from flask_babel import lazy_gettext as _l
from sqlalchemy import func, select

from idp.accounts import account_state, directory
from idp.accounts.models import Account, Child
from idp.audit.models import AuditEntry
from idp.clients import audience, registry, released
from idp.clients.models import Audience, Client, ClientSchool
from idp.clients.registry import Registration
from idp.db import db
from idp.sessions import manager
from idp.sessions.guard import signed_in
from idp.sessions.models import Session
from idp.web.i18n import instant_in_words, spacing

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


blueprint = Blueprint("received", __name__)

_NO_CHILD = _l("Cet ENT ne reçoit rien sur vos enfants.")
_FOR_EVERYONE = _l("Service ouvert à toutes les familles : il ne reçoit rien sur vos enfants.")


@blueprint.app_template_global("own_ents")
def own_ents() -> list[Registration]:
    """Return the ENTs that the signed-in person can enter from the account's pages."""
    current = manager.current()
    return entrances(current[1]) if current else []


@blueprint.app_template_global("own_ents_of_children")
def own_ents_of_children() -> list[tuple[Registration, list[str]]]:
    """Return `own_ents`, each with the person's children in its schools."""
    current = manager.current()
    ents = entrances_of_children(current[1]) if current else []
    return [(ent, [directory.child_sentence(child) for child in children]) for ent, children in ents]


@blueprint.get("/mon-compte/ent")
@signed_in
def show(_session: Session, account: Account) -> Response:
    """Show the data that each ENT receives."""
    known = receivers(account)
    html = render_template(
        "my_account/mes_donnees.html",
        dest=None,
        closed_ties=account_state.of_ties(account),
        receivers=[_shown(receiver) for receiver in known if receiver.serves],
        former=[
            (receiver.name, instant_in_words(receiver.entries[0]))
            for receiver in known
            if not receiver.serves and receiver.entries
        ],
    )
    return make_response(html)


def _shown(receiver: Receiver) -> dict[str, object]:
    return {
        "name": receiver.name,
        "children": [
            (
                f"{child.given_name} {child.family_name}",
                ", ".join(part for part in (child.class_name, child.school.name) if part),
            )
            for child in receiver.children
        ],
        "everyone": receiver.everyone,
        "no_child": spacing(str(_FOR_EVERYONE if receiver.everyone else _NO_CHILD)),
        "told": released.sentences_of(
            receiver.scopes, username=receiver.release_username, child=bool(receiver.children)
        ),
        "entries": [instant_in_words(at) for at in receiver.entries],
    }
