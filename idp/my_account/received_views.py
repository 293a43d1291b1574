"""`/mon-compte/ent`: « Mes données dans les ENT »."""

from flask import Blueprint, Response, make_response, render_template
from flask_babel import lazy_gettext as _l

from idp.accounts.models import Account
from idp.clients import released
from idp.clients.registry import Registration
from idp.my_account import received
from idp.my_account.moments import spoken
from idp.sessions import manager
from idp.sessions.guard import signed_in
from idp.sessions.models import Session
from idp.web.i18n import french_spacing

blueprint = Blueprint("received", __name__)

_NO_CHILD = _l("Cet ENT ne reçoit rien sur vos enfants.")
_FOR_EVERYONE = _l("Service ouvert à toutes les familles : il ne reçoit rien sur vos enfants.")


@blueprint.app_template_global("own_ents")
def own_ents() -> list[Registration]:
    """Return where whoever is signed in can go on from the account's pages."""
    found = manager.current()
    return received.entrances(found[1]) if found else []


@blueprint.get("/mon-compte/ent")
@signed_in
def show(_session: Session, account: Account) -> Response:
    """Show what each ENT is told."""
    found = received.receivers(account)
    html = render_template(
        "my_account/mes_donnees.html",
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
        "everyone": one.everyone,
        "no_child": french_spacing(str(_FOR_EVERYONE if one.everyone else _NO_CHILD)),
        "told": released.told(one.scopes, username=one.release_username, child=bool(one.children)),
        "entries": [spoken(at) for at in one.entries],
    }
