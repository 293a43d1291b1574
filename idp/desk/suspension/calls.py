"""`/comptes/<account>/pas-mon-enfant/<child>` of the desk: « Ce n’est pas mon enfant », on the telephone."""

import uuid

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _l

from idp.accounts.models import Guardianship, School
from idp.db import db
from idp.desk import access, reading
from idp.desk.access import Right, needs
from idp.desk.kept_forms.keeping import keeps
from idp.desk.naming import account_url, pupil
from idp.desk.notices.words import CALLED
from idp.desk.suspension import budget, shown
from idp.desk.suspension.budget import TooManyError
from idp.operations.helpdesk import telephone
from idp.operations.helpdesk.acts import RefusedError
from idp.web.redirects import see_other

blueprint = Blueprint("calls", __name__)

_REFUSALS = {
    telephone.CALLED_LATELY: _l(
        "L’établissement a déjà répondu à un appel sur ce lien il y a moins de sept jours : seule la direction peut en "
        "noter un autre. Rien n’a été fait."
    ),
}


@blueprint.route("/comptes/<uuid:account>/pas-mon-enfant/<uuid:child>", methods=["GET", "POST"])
@needs(Right.SETTLE_NOTICES, fresh=True)
@keeps()
def not_my_child(account: uuid.UUID, child: uuid.UUID) -> Response:
    """Say what « Ce n’est pas mon enfant » closes; on a POST close it, and open the notice."""
    school, person, about = access.own_school(), reading.open_account(account), access.child(child)
    tie = db.session.get(Guardianship, (account, child))
    if tie is None:
        access.refuse(str(child))
    is_possible, error = telephone.may_be_disputed(person, tie), ""
    if request.method == "POST":
        try:
            notice = _note(account, child, school)
            return see_other(url_for("notices.detail", notice=notice, fait=CALLED))
        except TooManyError as refusal:
            error = refusal.sentence
        except RefusedError as refusal:
            error = str(_REFUSALS.get(refusal.code, ""))
            is_possible = error != ""
    mail = gettext("Un mail prévient la personne, car quelqu’un d’autre peut appeler en son nom.")
    page = render_template(
        "desk/suspension/appel.html",
        person=person,
        child=pupil(about),
        is_possible=is_possible,
        error=error,
        ends=shown.ends_with_account(person, mail) if is_possible else "",
        back=account_url(account) or url_for("home.today"),
    )
    return make_response(page)


def _note(account: uuid.UUID, child: uuid.UUID, school: School) -> uuid.UUID:
    """Note a call; return the notice."""
    with budget.counted() as closing:
        noted = telephone.note_not_guardian(account, child, school, may_repeat=access.may(Right.REOPEN))
        closing.is_news = noted.is_news
    return noted.notice
