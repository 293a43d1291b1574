"""`/comptes/<account>/pas-mon-enfant/<child>` of the desk: « Ce n’est pas mon enfant », on the telephone."""

import uuid

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext

from idp.accounts.models import Guardianship
from idp.db import db
from idp.desk import access, reading
from idp.desk.access import Right, needs
from idp.desk.kept_forms.keeping import keeps
from idp.desk.naming import account_url, pupil
from idp.desk.notices.words import CALLED
from idp.desk.suspension import shown
from idp.operations.helpdesk import telephone
from idp.operations.helpdesk.acts import RefusedError
from idp.web.redirects import see_other

blueprint = Blueprint("calls", __name__)


@blueprint.route("/comptes/<uuid:account>/pas-mon-enfant/<uuid:child>", methods=["GET", "POST"])
@needs(Right.SETTLE_NOTICES, fresh=True)
@keeps()
def not_my_child(account: uuid.UUID, child: uuid.UUID) -> Response:
    """Say what « Ce n’est pas mon enfant » closes; on a POST close it, and open the notice."""
    school, person, about = access.own_school(), reading.open_account(account), access.child(child)
    tie = db.session.get(Guardianship, (account, child))
    if tie is None:
        access.refuse(str(child))
    is_possible = telephone.may_be_disputed(person, tie)
    if request.method == "POST":
        try:
            notice = telephone.note_not_guardian(account, child, school)
            return see_other(url_for("notices.detail", notice=notice, fait=CALLED))
        except RefusedError:
            is_possible = False
    mail = gettext("Un mail prévient la personne, car quelqu’un d’autre peut appeler en son nom.")
    page = render_template(
        "desk/suspension/appel.html",
        person=person,
        child=pupil(about),
        is_possible=is_possible,
        ends=shown.ends_with_account(person, mail) if is_possible else "",
        back=account_url(account) or url_for("home.today"),
    )
    return make_response(page)
