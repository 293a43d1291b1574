"""`/etablissement/mots-de-passe`: make the families of a school choose new passwords, by the job `passwords`.

Before the first batch, the job is marked final and goes to its end: half a school is no state to stay in. After a kill
it runs again; passwords that are blocked already are passed over. Each batch is stored with the sum of all.
"""

from collections.abc import Sequence
from dataclasses import asdict

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext, lazy_gettext as _l
from sqlalchemy import case, func, select

from idp.accounts import directory
from idp.accounts.models import Account, Child, Guardianship, School
from idp.audit import log
from idp.audit.desk_events import PasswordsForced
from idp.db import db
from idp.desk import access, kept_forms
from idp.desk.access import Right, needs
from idp.desk.fields import WordField
from idp.desk.jobs import lifecycle
from idp.desk.jobs.kinds import PASSWORDS, Finished, RefusedError, Running
from idp.desk.jobs.models import Job, State
from idp.desk.statistics import tables
from idp.operations import blocked_passwords
from idp.operations.blocked_passwords import Blocked
from idp.uai import typed_uai
from idp.web.forms import Form, PlainField
from idp.web.redirects import render_page, see_other

_PERCENT = 100


def count_concerned(school: School) -> tuple[int, int]:
    """Return how many accounts' passwords would be blocked, and how many of them have no confirmed address."""
    without_email = case((Account.email.is_(None), Account.id))
    row = db.session.execute(
        select(func.count(Account.id.distinct()), func.count(without_email.distinct()))
        .select_from(Child)
        .join(Guardianship, Guardianship.child_id == Child.id)
        .join(Account, Account.id == Guardianship.account_id)
        .where(
            Child.school_id == school.id,
            directory.concerns_its_school(),
            Account.activated_at.is_not(None),
            ~Account.has_blocked_password,
        )
    ).one()
    return row[0], row[1]


def run(running: Running) -> Finished:
    """Block the passwords; see `Kind.run`."""
    school = db.session.scalar(select(School).where(School.uai == running.parameters["school"]))
    if school is None:
        raise RefusedError("fault")
    total = Blocked(**running.result)
    running.begin_writing(asdict(total))

    def note(batch: Blocked) -> None:
        running.keep(asdict(total + batch))

    for batch in blocked_passwords.block(school, note):
        total += batch
        running.progress(_PERCENT * total.blocked // max(total.blocked, running.parameters["count"], 1), _PERCENT)
    return Finished(asdict(total))


def record(job: Job) -> None:
    """Record how many passwords a job blocked until its end, whatever the end; see `Kind.record`."""
    if count := Blocked(**job.result).blocked:
        log.record(PasswordsForced(uai=job.parameters["school"], count=count))


def describe(job: Job) -> Sequence[str]:
    """Return how many passwords were blocked."""
    if job.state is State.CANCELLED:
        return [gettext("Aucun mot de passe n’a changé.")]
    blocked = Blocked(**job.result)
    number = tables.number
    sentences = [gettext("Familles qui choisiront un nouveau mot de passe : %(n)s.", n=number(blocked.blocked))]
    if job.refusal:
        stopped = gettext("Le travail s’est arrêté. Demandez-le de nouveau : il reprend où il s’est arrêté.")
        sentences.insert(0, stopped)
    if blocked.without_address or not access.own_spec().is_at_school:
        letters = number(blocked.without_address)
        sentences.append(gettext("Sans adresse mail confirmée, il leur faut un nouveau courrier : %(n)s.", n=letters))
    return [*sentences, gettext("Appareils déconnectés : %(n)s.", n=number(blocked.sessions_ended))]


blueprint = Blueprint("new_passwords", __name__)


class SchoolForm(Form):
    """The school, for a person of the académie."""

    uai = PlainField(_l("UAI de l’établissement"), longest=20)


class ConfirmationForm(kept_forms.DeskForm):
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
        return render_page("desk/new_passwords/choix.html", form=form)
    return _page(school, ConfirmationForm())


def _school(typed: str) -> School | None:
    own = access.post().school
    if own is not None:
        return own
    return db.session.scalar(select(School).where(School.uai == typed_uai(typed), access.schools()))


def _page(school: School, form: ConfirmationForm) -> Response:
    accounts, without_email = count_concerned(school)
    return render_page(
        "desk/new_passwords/mots_de_passe.html",
        school=school,
        form=form,
        is_nobody=access.own_spec().is_at_school and not accounts,
        accounts=tables.number(accounts),
        without_email=tables.number(without_email),
    )


@blueprint.post("/etablissement/mots-de-passe")
@needs(Right.FORCE_PASSWORDS, fresh=True)
@kept_forms.keeps("uai", "word")
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
    parameters = {"school": school.uai, "count": count_concerned(school)[0]}
    started = lifecycle.start_alone(PASSWORDS, parameters, lane)
    if started is None or started.staff_id != access.person().staff.id:
        form.word.errors = [gettext("Quelqu’un d’autre l’a déjà demandé : le travail est en cours.")]
        return _page(school, form)
    return see_other(url_for("jobs.show", key=started.id))
