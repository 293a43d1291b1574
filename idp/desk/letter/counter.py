"""`/comptes/<account>/courrier`: « Nouveau courrier », a letter for one person at the counter.

It is printed in the request, in less than two seconds. The file is stored encrypted in the transaction of its secret,
so that a kill leaves both or none.
"""

import uuid
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from datetime import timedelta

from flask import Blueprint, Response, url_for
from flask_babel import gettext, lazy_gettext as _l
from sqlalchemy import select
from wtforms import BooleanField

from idp.accounts import closing_acts
from idp.accounts.models import Account
from idp.accounts.passwords.hasher import HasherBusyError
from idp.audit import log
from idp.audit.desk_events import IdentityChecked
from idp.clock import PARIS, now
from idp.db import db
from idp.desk import access, family_pages, naming
from idp.desk.access import Right, needs
from idp.desk.families import subjects
from idp.desk.fields import ReasonField
from idp.desk.jobs import files, lifecycle
from idp.desk.jobs.kinds import LETTER, Finished, RefusedError, Running, Step
from idp.desk.jobs.models import Job
from idp.desk.kept_forms import DeskForm, keeps
from idp.desk.letter import prints
from idp.families.standing import Group, group_of
from idp.letters import printing, recipients
from idp.letters.printing import LONGEST_REASON, PrintOrder, Report
from idp.letters.recipients import PrintError, Refusal, Skip
from idp.letters.render.pdf import LetterError, TooLongError, UnknownGlyphError
from idp.mail.emails import masked
from idp.services import services
from idp.throttle import guard
from idp.throttle.limits import FIRST_LETTERS
from idp.web.forms import PlainField
from idp.web.redirects import render_page, see_other

_AGAIN = timedelta(minutes=15)
NEW_FOR = timedelta(days=30)
"""How long a first letter needs a fresh proof if an import from the desk opened the account."""


class LetterForm(DeskForm):
    """How to print; for an account that has been active also the reason and the checklist of the identity."""

    generation = PlainField(longest=20)
    layout = PlainField(longest=10)
    reason = ReasonField(
        _l("Motif"), longest=LONGEST_REASON, missing=_l("Écrivez le motif en quelques mots : il reste au journal.")
    )
    came = BooleanField(_l("La personne est venue elle-même"))
    document = BooleanField(_l("J’ai vu sa pièce d’identité"))
    guardian = BooleanField(_l("C’est bien le responsable de l’élève"))

    def is_complete(self) -> bool:
        """Return whether there is a reason and all points are ticked; put an error beside what is missing."""
        self.reason.is_given()
        for point in (self.came, self.document, self.guardian):
            if not point.data:
                point.errors = [gettext("Sans ce point, aucun courrier : « %(point)s ».", point=point.label.text)]
        return not self.errors


blueprint = Blueprint("letter", __name__)


@blueprint.get("/comptes/<uuid:key>/courrier")
@needs(Right.PRINT_LETTER, fresh=None)
def show(key: uuid.UUID) -> Response:
    """Show what a new letter will do, or why there is none."""
    account = family_pages.open_account(key)
    refusal = _refusal(account)
    needs_proof = _is_guarded(account) or guard.remaining_wait(FIRST_LETTERS, _own_count()) > 0
    proof = access.proof_first() if not refusal and needs_proof else None
    return proof or _page(account, _form(account), refusal)


@blueprint.post("/comptes/<uuid:key>/courrier")
@needs(Right.PRINT_LETTER, fresh=None)
@keeps("reason", "came", "document", "guardian")
def draw(key: uuid.UUID) -> Response:
    """Print the letter, and lead to its file."""
    account = family_pages.open_account(key)
    form = _form(account)
    if refusal := _refusal(account):
        return _page(account, form, refusal)
    if form.generation.data != str(account.generation):
        return _sent_twice(account)
    if _count_letter(account) and (proof := access.proof_first()):
        return proof
    if account.has_been_active and not form.is_complete():
        return _page(account, form)
    return _lead_to_file(account, form)


def _lead_to_file(account: Account, form: LetterForm) -> Response:
    try:
        job = _print(account, form)
    except RefusedError as refused:
        if refused.code == Refusal.CHANGED:
            return _sent_twice(account)
        return _page(access.account(account.id), form, fault=refused.code)
    return see_other(url_for("jobs.show", key=job.id))


def _refusal(account: Account) -> str:
    school = access.own_school()
    try:
        recipients.check_account(account)
        recipients.from_school(account, school, None)
        recipients.check_school(school)
    except PrintError as refused:
        return str(refused.refusal or "fault")
    return ""


def _is_guarded(account: Account) -> bool:
    return account.has_been_active or (account.is_from_desk and account.created_at > now() - NEW_FOR)


def _count_letter(account: Account) -> bool:
    if _is_guarded(account):
        return True
    if access.has_fresh_proof(access.person()):
        guard.clear(FIRST_LETTERS, _own_count())
        return False
    return isinstance(guard.take(FIRST_LETTERS, _own_count()), guard.Wait)


def _own_count() -> str:
    return str(access.person().staff.id)


def _print(account: Account, form: LetterForm) -> Job:
    settings, as_slip = services().settings, form.layout.data == "slip"
    reason = form.reason.text if account.has_been_active else ""
    order = PrintOrder(uai=access.own_school().uai, usernames=[account.username], reason=reason, as_slips=as_slip)
    jobs: list[Job] = []

    def keep(pdfs: Sequence[tuple[str, bytes]], report: Report) -> None:
        parameters = {"account": str(account.id), "slips": as_slip}
        jobs.append(lifecycle.done_at_once(LETTER, parameters, {"letters": report.printed}))
        name = f"courrier-{now().astimezone(PARIS):%Y-%m-%d-%Hh%Mm%S}.pdf"  # without the name of a person
        for _, pdf in pdfs:
            files.store(settings, jobs[-1].id, files.NewFile(name, naming.PDF, pdf))
        if reason:
            log.record(IdentityChecked(account_id=account.id, reason=reason))

    try:
        printing.print_in_memory(settings, services().hasher, order, keep)
    except PrintError as refused:
        raise RefusedError(str(refused.refusal or "fault")) from refused
    except TooLongError as fault:
        raise RefusedError(Skip.TOO_LONG) from fault
    except UnknownGlyphError as fault:
        raise RefusedError(Skip.UNKNOWN_GLYPH) from fault
    except LetterError as fault:
        raise RefusedError("faulty") from fault
    except (HasherBusyError, BrokenProcessPool) as busy:
        raise RefusedError("busy") from busy
    return jobs[-1]


def _sent_twice(account: Account) -> Response:
    """Lead to the letter that a first click has printed; a second letter would end its code."""
    printed = select(Job).where(
        Job.kind == LETTER.name, access.in_this_post(Job.role_id), Job.created_at > now() - _AGAIN
    )
    for job in db.session.scalars(printed.order_by(Job.created_at.desc())):
        if job.parameters["account"] == str(account.id):
            return see_other(url_for("jobs.show", key=job.id))
    changed = access.account(account.id)
    return _page(changed, _form(changed), fault=Refusal.CHANGED)


def _form(account: Account) -> LetterForm:
    form = LetterForm()
    form.guardian.label.text = gettext(
        "C’est bien un responsable légal. Élève : %(children)s", children=_children(account)
    )
    return form


def _children(account: Account) -> str:
    """Return the pupils of this school on one line; children in other schools are not its concern."""
    return ", ".join(
        f"{child.given_name} {child.family_name}" + (f" ({child.class_name})" if child.class_name else "")
        for child in account.children
        if child.school_id == access.own_school().id
    )


def _page(account: Account, form: LetterForm, refusal: str = "", fault: str = "") -> Response:
    return render_page(
        "desk/letter/nouveau_courrier.html",
        account=account,
        children=_children(account),
        back=url_for("accounts.show", account=account.id),
        form=form,
        needs_proof=account.has_been_active,
        refusal=prints.REFUSALS[refusal] if refusal else "",
        fault=prints.REFUSALS[fault] if fault else "",
        effects=_effects(account),
    )


def _effects(account: Account) -> list[str]:
    days = services().settings.provisional_days
    valid = gettext("Le nouveau mot de passe provisoire est valable %(days)s jours.", days=days)
    if account.activated_at is None:
        if account.provisional_hash is None:
            return [valid]
        return [gettext("Le mot de passe provisoire du courrier précédent ne marchera plus."), valid]
    contest = closing_acts.contest_of(account.id)
    emails = [masked(email) or "" for email in (account.email, contest.email if contest else None) if email]
    mails = (
        gettext("La personne sera prévenue par mail : %(emails)s.", emails=", ".join(emails))
        if emails
        else gettext("Aucun mail ne part : le compte n’a pas d’adresse confirmée.")
    )
    return [
        gettext("Le mot de passe actuel ne marchera plus."),
        gettext("Toutes les connexions ouvertes seront fermées, dans l’ENT aussi."),
        gettext("L’adresse mail est retirée du compte : la personne la donnera à nouveau avec le courrier."),
        mails,
        valid,
    ]


subjects.register(
    subjects.Action(
        key="letter",
        right=Right.PRINT_LETTER,
        label=_l("Nouveau courrier"),
        url=lambda subject: url_for("letter.show", key=subject.account.id),
        is_offered=lambda subject: group_of(subject.holding) is not Group.CLOSED and subject.cut_off is None,
        rank=40,
    )
)


def run(_running: Running) -> Finished:
    """Refuse: no such job waits for the worker."""
    raise RefusedError("fault")


def describe(job: Job) -> Sequence[str]:
    """Return whose letter it is, and what to do with it: after its file was taken, and if nobody took it."""
    name = prints.name_of(uuid.UUID(job.parameters["account"]))
    made = files.made(job.id)
    if any(file.is_waiting for file in made):
        what = gettext("Prenez le fichier, imprimez-le et remettez le papier en main propre.")
    elif any(file.taken_at for file in made):
        what = gettext("Le fichier est pris : imprimez-le et remettez le papier en main propre.")
    else:
        what = gettext("Personne n’a pris le fichier, et il est effacé. Imprimez un autre courrier.")
    return [
        gettext("Le courrier de %(name)s est préparé. Ce qui ouvrait le compte avant ne marche plus.", name=name),
        what,
    ]


def again(job: Job) -> str:
    """Return the URL at which the letter is printed again, with another code."""
    return url_for("letter.show", key=uuid.UUID(job.parameters["account"]))


def back(job: Job) -> Step:
    """Return the way back to the page of the account."""
    key = uuid.UUID(job.parameters["account"])
    label = gettext("Revenir au compte de %(name)s", name=prints.name_of(key))
    return Step(label, url_for("accounts.show", account=key))
