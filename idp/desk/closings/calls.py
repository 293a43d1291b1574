"""`/comptes/<account>/pas-mon-enfant/<child>` of the desk: « Ce n’est pas mon enfant », on the telephone.

`…/retour` takes the school's confirmation back.
"""

import uuid

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext

from idp.accounts.models import Guardianship, School
from idp.accounts.school_notices import Kind
from idp.db import db
from idp.desk import access, family_pages, fields
from idp.desk.access import Right, needs
from idp.desk.closings import budget, shown
from idp.desk.closings.budget import TooManyError
from idp.desk.closings.forms import CallForm, ReopeningForm
from idp.desk.kept_forms import keeps
from idp.desk.naming import account_url, pupil
from idp.desk.notices.words import CALLED
from idp.families import disputes, telephone
from idp.families.disputes import Decision, Outcome
from idp.families.refusals import Code, RefusedError
from idp.services import services
from idp.web.redirects import see_other

blueprint = Blueprint("calls", __name__)

RESTORED = "retabli"
"""What the page of the account says after a tie holds again."""


@blueprint.route("/comptes/<uuid:account>/pas-mon-enfant/<uuid:child>", methods=["GET", "POST"])
@needs(Right.SETTLE_NOTICES, fresh=True)
@keeps("caller", "reason")
def not_my_child(account: uuid.UUID, child: uuid.UUID) -> Response:
    """Say what « Ce n’est pas mon enfant » closes; on a POST close it, and open the notice."""
    school, person, about = access.own_school(), family_pages.open_account(account), access.child(child)
    tie = db.session.get(Guardianship, (account, child))
    if tie is None:
        access.refuse(str(child))
    is_possible, error, form = telephone.may_be_disputed(person, tie), "", CallForm()
    if request.method == "POST" and form.check():
        try:
            notice = _note(account, child, school, form.call())
            return see_other(url_for("notices.detail", notice=notice, fait=CALLED))
        except TooManyError as refusal:
            error = refusal.sentence
        except RefusedError as refusal:
            is_possible = refusal.code is Code.CALLED_LATELY
            error = family_pages.refusal(refusal) if is_possible else ""
    mail = gettext("Un mail prévient la personne, car quelqu’un d’autre peut appeler en son nom.")
    page = render_template(
        "desk/closings/appel.html",
        form=form,
        person=person,
        child=pupil(about),
        is_possible=is_possible,
        error=error,
        ends=shown.ends_with_account(person, mail) if is_possible else "",
        back=account_url(account) or url_for("home.today"),
    )
    return make_response(page)


@blueprint.route("/comptes/<uuid:account>/pas-mon-enfant/<uuid:child>/retour", methods=["GET", "POST"])
@needs(Right.REOPEN, fresh=True)
@keeps("reason")
def restore(account: uuid.UUID, child: uuid.UUID) -> Response:
    """Ask why a tie that the school ended holds again; on a POST restore it."""
    school, person, about = access.own_school(), family_pages.open_account(account), access.child(child)
    tie, form, error = db.session.get(Guardianship, (account, child)), ReopeningForm(), ""
    if tie is None:
        access.refuse(str(child))
    if request.method == "POST" and form.check():
        reason = fields.one_line(form.reason.data)
        decision = Decision(
            outcome=Outcome.REJECT,
            reason=reason,
            kind=Kind.NOT_GUARDIAN,
            school=school,
            child=about.id,
            reopens=True,
        )
        try:
            disputes.settle(services().settings, account, decision)
            return see_other(url_for("accounts.show", account=account, fait=RESTORED))
        except RefusedError as refusal:
            error = family_pages.refusal(refusal)
    page = render_template(
        "desk/closings/retablir.html",
        form=form,
        error=error,
        person=person,
        child=pupil(about),
        is_possible=tie.is_excluded,
        back=account_url(account) or url_for("home.today"),
    )
    return make_response(page)


def _note(account: uuid.UUID, child: uuid.UUID, school: School, call: str) -> uuid.UUID:
    with budget.counted() as tally:
        may_repeat = access.may(Right.REOPEN)
        noted = telephone.note_not_guardian(account, child, school, may_repeat=may_repeat, call=call)
        tally.is_news = noted.is_news
    return noted.notice
