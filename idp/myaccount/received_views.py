"""`/mon-compte/ent`: « Mes données dans les ENT »."""

from flask import Blueprint, Response, make_response, render_template
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from idp.accounts.models import Account
from idp.myaccount import received
from idp.myaccount.moments import spoken
from idp.sessions.guard import signed_in
from idp.sessions.models import Session

blueprint = Blueprint("received", __name__)

_ALWAYS = _l("un numéro qui vous désigne, et l’heure de votre connexion")
_SENTENCES = {
    "profile": _l("votre prénom, votre nom, votre identifiant et votre langue"),
    "email": _l("votre adresse mail confirmée"),
    "ent": _l(
        "que vous êtes parent, votre numéro dans le fichier de l’établissement, et pour chaque enfant ci-dessus : "
        "prénom, nom, classe, établissement et numéro d’élève"
    ),
    "charter": _l("si vous avez accepté sa charte, quelle version et quand"),
}
"""What each scope releases, in plain words and in this order."""


@blueprint.get("/mon-compte/ent")
@signed_in
def show(_session: Session, account: Account) -> Response:
    """Show what each ENT is told."""
    found = received.receivers(account)
    html = render_template(
        "myaccount/mes_donnees.html",
        dest=None,
        receivers=[_shown(one) for one in found if one.serves],
        former=[(one.name, spoken(one.entries[0])) for one in found if not one.serves and one.entries],
    )
    return make_response(html)


def _shown(one: received.Receiver) -> dict[str, object]:
    return {
        "name": one.name,
        "children": [
            (
                f"{seen.child.given_name} {seen.child.family_name}",
                ", ".join(part for part in (seen.child.class_name, seen.child.school.name) if part),
                seen.vector,
            )
            for seen in one.children
        ],
        "told": _told(one.scopes),
        "entries": [spoken(at) for at in one.entries],
    }


def _told(scopes: frozenset[str]) -> list[LazyString]:
    return [_ALWAYS, *(sentence for scope, sentence in _SENTENCES.items() if scope in scopes)]
