"""`/mon-compte/ent`: « Mes données dans les ENT »."""

from flask import Blueprint, Response, make_response, render_template
from flask_babel import lazy_gettext as _l

from idp.accounts import closings, directory
from idp.accounts.models import Account
from idp.clients import released
from idp.clients.registry import Registration
from idp.my_account import ent_data
from idp.my_account.moments import instant_in_words
from idp.sessions import manager
from idp.sessions.guard import signed_in
from idp.sessions.models import Session
from idp.web.i18n import spacing

blueprint = Blueprint("received", __name__)

_NO_CHILD = _l("Cet ENT ne reçoit rien sur vos enfants.")
_FOR_EVERYONE = _l("Service ouvert à toutes les familles : il ne reçoit rien sur vos enfants.")


@blueprint.app_template_global("own_ents")
def own_ents() -> list[Registration]:
    """Return the ENTs that the signed-in person can enter from the account's pages."""
    current = manager.current()
    return ent_data.entrances(current[1]) if current else []


@blueprint.app_template_global("own_ents_of_children")
def own_ents_of_children() -> list[tuple[Registration, list[str]]]:
    """Return `own_ents`, each with the person's children in its schools."""
    current = manager.current()
    ents = ent_data.entrances_of_children(current[1]) if current else []
    return [(ent, [directory.child_sentence(child) for child in children]) for ent, children in ents]


@blueprint.get("/mon-compte/ent")
@signed_in
def show(_session: Session, account: Account) -> Response:
    """Show the data that each ENT receives."""
    receivers = ent_data.receivers(account)
    html = render_template(
        "my_account/mes_donnees.html",
        dest=None,
        closed_ties=closings.of_ties(account),
        receivers=[_shown(receiver) for receiver in receivers if receiver.serves],
        former=[
            (receiver.name, instant_in_words(receiver.entries[0]))
            for receiver in receivers
            if not receiver.serves and receiver.entries
        ],
    )
    return make_response(html)


def _shown(receiver: ent_data.Receiver) -> dict[str, object]:
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
