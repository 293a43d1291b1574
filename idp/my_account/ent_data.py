"""`/mon-compte/ent`: « Mes données dans les ENT »: which ENT receives which data, and when it was entered."""

from collections.abc import Sequence

from flask import Blueprint, Response
from flask_babel import lazy_gettext as _l
from sqlalchemy import func, select

from idp.accounts import account_state, directory
from idp.accounts.models import Account, Child
from idp.audit.models import AuditEntry
from idp.clients import audience, registry, released
from idp.clients.models import Audience, Client, ClientSchool
from idp.db import db
from idp.sessions import manager
from idp.sessions.guard import signed_in
from idp.sessions.models import Session
from idp.web.i18n import instant_in_words, spacing
from idp.web.redirects import render_page

# The kind of the journal entry for each entry into an ENT; the protocol's own statement writes it.
_ENTERED = "code.issued"
_DATES = 5


def entrances(account: Account) -> list[registry.Registration]:
    """Return the ENTs that serve the person's schools and can be entered from here, by name."""
    return [ent for ent in registry.all_serving(school.uai for school in directory.schools(account)) if ent.home]


def names(account: Account) -> list[str]:
    """Return the names of the ENTs of the person's schools, for the mails about the account."""
    return [ent.name for ent in entrances(account)]


def _receivers(account: Account) -> Sequence[Client]:
    uais = {school.uai for school in directory.schools(account)}
    serving = select(ClientSchool.client_id).where(ClientSchool.uai.in_(uais))
    entered = select(AuditEntry.client_id).where(AuditEntry.account_id == account.id, AuditEntry.kind == _ENTERED)
    return db.session.scalars(
        select(Client)
        .where((Client.disabled_at.is_(None) & Client.id.in_(serving)) | Client.id.in_(entered))
        .order_by(func.lower(Client.name), Client.id)
    ).all()


def _last_entries(account: Account, client: Client) -> list[str]:
    entries = db.session.scalars(
        select(AuditEntry.at)
        .where(AuditEntry.account_id == account.id, AuditEntry.client_id == client.id, AuditEntry.kind == _ENTERED)
        .order_by(AuditEntry.at.desc())
        .limit(_DATES)
    )
    return [instant_in_words(at) for at in entries]


blueprint = Blueprint("received", __name__)

_NO_CHILD = _l("Cet ENT ne reçoit rien sur vos enfants.")
_FOR_EVERYONE = _l("Service ouvert à toutes les familles : il ne reçoit rien sur vos enfants.")


@blueprint.app_template_global("own_ents")
def own_ents() -> list[registry.Registration]:
    """Return the ENTs that the signed-in person can enter from the account's pages."""
    current = manager.current()
    return entrances(current[1]) if current else []


@blueprint.app_template_global("own_ents_of_children")
def own_ents_of_children() -> list[tuple[registry.Registration, list[str]]]:
    """Return `own_ents`, each with the person's children in its schools."""
    current = manager.current()
    ents = entrances(current[1]) if current else []
    if current is None or not ents:
        return []
    children = {ent.key: served for ent, served in audience.ents_of_children(current[1], ents[0])}
    return [(ent, [directory.child_sentence(child) for child in children[ent.key]]) for ent in ents]


@blueprint.get("/mon-compte/ent")
@signed_in
def show(_session: Session, account: Account) -> Response:
    """Show the data that each ENT may receive today, and the last entry into each that no longer may."""
    receivers: list[dict[str, object]] = []
    former: list[tuple[str, str]] = []
    for client in _receivers(account):
        entries = _last_entries(account, client)
        if client.disabled_at is None and audience.may_know(client.id, account.id):
            receivers.append({**_received(account, client), "name": client.name, "entries": entries})
        elif entries:
            former.append((client.name, entries[0]))
    return render_page(
        "my_account/mes_donnees.html",
        dest=None,
        closed_ties=account_state.of_ties(account),
        receivers=receivers,
        former=former,
    )


def _received(account: Account, client: Client) -> dict[str, object]:
    scopes, everyone = {*client.scopes, *client.always_claims}, client.audience is Audience.EVERYONE
    children = [child for child in account.children if "ent" in scopes and child.school.uai in client.uais]
    return {
        "children": [child_in_words(child) for child in children],
        "everyone": everyone,
        "no_child": spacing(str(_FOR_EVERYONE if everyone else _NO_CHILD)),
        "told": released.sentences_of(scopes, username=client.release_username, child=bool(children)),
    }


def child_in_words(child: Child) -> tuple[str, str]:
    """Return the name of a child, and its class and school."""
    detail = ", ".join(part for part in (child.class_name, child.school.name) if part)
    return f"{child.given_name} {child.family_name}", detail
