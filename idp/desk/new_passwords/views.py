"""`/etablissement/mots-de-passe`."""

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext, ngettext
from flask_babel import lazy_gettext as _l
from sqlalchemy import func, select

from idp.accounts import directory
from idp.accounts.models import Account, Child, Guardianship, School
from idp.audit import log
from idp.audit.desk_events import PasswordsForced
from idp.db import db, unit_of_work
from idp.desk import access
from idp.desk.access import Right, needs
from idp.desk.kept_forms.forms import DeskForm
from idp.desk.kept_forms.keeping import keeps
from idp.operations.helpdesk import acts
from idp.uai import normalised_uai
from idp.web.forms import Form, PlainField
from idp.web.redirects import see_other

blueprint = Blueprint("new_passwords", __name__)


class SchoolForm(Form):
    """The school, for a person of the académie."""

    uai = PlainField(_l("UAI de l’établissement"), longest=20)


class ConfirmationForm(DeskForm):
    """The word that confirms."""

    word = PlainField(_l("Tapez BLOQUER pour confirmer"), longest=20)


@blueprint.get("/etablissement/mots-de-passe")
@needs(Right.FORCE_PASSWORDS, fresh=True)
def show() -> Response:
    """Show how many accounts are concerned, and what happens; ask a person of the académie for the school first."""
    form, typed = SchoolForm(), request.args.get("uai", "")[:20].strip()
    school = _school(typed)
    if school is None and typed:
        form.uai.data, form.uai.errors = typed, [gettext("Aucun établissement n’a cet UAI.")]
    if school is None:
        return make_response(render_template("desk/new_passwords/choix.html", form=form))
    return _page(school, ConfirmationForm())


def _school(typed: str) -> School | None:
    """Return the school of the person's post, or the typed one for the académie."""
    own = access.post().school
    if own is not None:
        return own
    return db.session.scalar(select(School).where(School.uai == normalised_uai(typed), access.schools()))


def _page(school: School, form: ConfirmationForm) -> Response:
    done = request.args.get("fait", "")
    return make_response(
        render_template(
            "desk/new_passwords/mots_de_passe.html",
            school=school,
            form=form,
            count=_concerned(school),
            done=_done(int(done)) if done.isdecimal() and len(done) < 8 else "",  # noqa: PLR2004 - a number of accounts
        )
    )


def _done(count: int) -> str:
    return str(
        ngettext(
            "C’est fait : %(num)s famille choisira un nouveau mot de passe.",
            "C’est fait : %(num)s familles choisiront un nouveau mot de passe.",
            count,
        )
    )


def _concerned(school: School) -> int:
    """Return the number of accounts whose password would be blocked."""
    concerned = select(func.count(Account.id.distinct())).select_from(Child)
    return (
        db.session.scalar(
            concerned.join(Guardianship, Guardianship.child_id == Child.id)
            .join(Account, Account.id == Guardianship.account_id)
            .where(
                Child.school_id == school.id,
                directory.concerns_its_school(),
                Account.activated_at.is_not(None),
                Account.password_blocked_at.is_(None),
            )
        )
        or 0
    )


@blueprint.post("/etablissement/mots-de-passe")
@needs(Right.FORCE_PASSWORDS, fresh=True)
@keeps("word")
def force() -> Response:
    """Block the passwords of the school, batch by batch, once the word was typed."""
    school, form = _school(request.form.get("uai", "")[:20]), ConfirmationForm()
    if school is None:
        return see_other(url_for("new_passwords.show"))
    if (form.word.data or "").upper() != gettext("BLOQUER"):
        form.word.errors = [gettext("Tapez le mot BLOQUER, sans rien d’autre.")]
        return _page(school, form)
    total = acts.Blocked()
    for batch in acts.block_passwords(school):
        total.add(batch)
    with unit_of_work():
        log.record(PasswordsForced(uai=school.uai, count=total.blocked))
    return see_other(url_for("new_passwords.show", uai=school.uai, fait=total.blocked))
