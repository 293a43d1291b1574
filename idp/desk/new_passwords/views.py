"""`/etablissement/mots-de-passe`: the numbers, the word that confirms, and the job."""

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from sqlalchemy import select

from idp.accounts.models import School
from idp.db import db
from idp.desk import access
from idp.desk.access import Right, needs
from idp.desk.choices import WordField
from idp.desk.jobs import asking
from idp.desk.jobs.kinds import PASSWORDS
from idp.desk.kept_forms import forms as kept_forms
from idp.desk.kept_forms.forms import DeskForm
from idp.desk.kept_forms.keeping import keeps
from idp.desk.new_passwords import work
from idp.desk.statistics import tables
from idp.uai import typed_uai
from idp.web.forms import Form, PlainField
from idp.web.redirects import see_other

blueprint = Blueprint("new_passwords", __name__)


class SchoolForm(Form):
    """The school, for a person of the académie."""

    uai = PlainField(_l("UAI de l’établissement"), longest=20)


class ConfirmationForm(DeskForm):
    """The word that confirms."""

    word = WordField("BLOQUER")


@blueprint.get("/etablissement/mots-de-passe")
@needs(Right.FORCE_PASSWORDS, fresh=True)
def show() -> Response:
    """Show how many accounts are concerned, and what happens; ask a person of the académie for the school first."""
    form, kept = SchoolForm(), kept_forms.current()
    typed = (kept.fields if kept else request.args).get("uai", "")[:20].strip()
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
    return db.session.scalar(select(School).where(School.uai == typed_uai(typed), access.schools()))


def _page(school: School, form: ConfirmationForm) -> Response:
    concerned = work.concerned(school)
    page = render_template(
        "desk/new_passwords/mots_de_passe.html",
        school=school,
        form=form,
        is_nobody=access.own_spec().is_at_school and not concerned.accounts,
        accounts=tables.number(concerned.accounts),
        without_email=tables.number(concerned.without_email),
    )
    return make_response(page)


@blueprint.post("/etablissement/mots-de-passe")
@needs(Right.FORCE_PASSWORDS, fresh=True)
@keeps("uai", "word")
def force() -> Response:
    """Ask for the job that blocks the passwords of the school that the page named, once the word was typed."""
    named = request.form.get("uai", "")[:20]
    school, form = _school(named), ConfirmationForm()
    if school is not None and named and typed_uai(named) != school.uai:
        access.refuse()
    if school is None:
        return see_other(url_for("new_passwords.show"))
    if not form.word.is_typed():
        return _page(school, form)
    lane = f"{PASSWORDS.name} {school.uai}"
    parameters = {"school": school.uai, "count": work.concerned(school).accounts}
    started = asking.start_alone(PASSWORDS, parameters, lane)
    if started is None or started.staff_id != access.person().staff.id:
        form.word.errors = [gettext("Quelqu’un d’autre l’a déjà demandé : le travail est en cours.")]
        return _page(school, form)
    return see_other(url_for("jobs.show", key=started.id))
