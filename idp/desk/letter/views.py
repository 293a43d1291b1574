"""`/comptes/<account>/courrier`: « Nouveau courrier », a letter for one person at the counter."""

import uuid
from collections.abc import Sequence

from flask import Blueprint, Response, make_response, render_template, url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from wtforms import BooleanField

from idp.accounts.models import Account, School
from idp.config import Settings
from idp.desk import access, fields, reading
from idp.desk.access import Right, needs
from idp.desk.families import actions
from idp.desk.families.actions import Action
from idp.desk.jobs import files
from idp.desk.jobs.kinds import Step
from idp.desk.jobs.models import Job
from idp.desk.jobs.work import Finished, RefusedError, Running
from idp.desk.kept_forms import DeskForm, keeps
from idp.desk.letter import service, words
from idp.desk.letter.service import CounterLetter
from idp.desk.letter.words import REFUSALS
from idp.families.standing import Group, group_of
from idp.letters.printing import LONGEST_REASON
from idp.letters.recipients import Refusal
from idp.mail.emails import masked
from idp.services import services
from idp.web.forms import PlainField
from idp.web.redirects import see_other

SLIP = "slip"


class LetterForm(DeskForm):
    """How to print; for an account that has been active also the reason and the checklist of the identity."""

    generation = PlainField(longest=20)
    layout = PlainField(longest=10)
    reason = PlainField(_l("Motif"), longest=LONGEST_REASON)
    came = BooleanField(_l("La personne est venue elle-même"))
    document = BooleanField(_l("J’ai vu sa pièce d’identité"))
    guardian = BooleanField(_l("C’est bien le responsable de l’élève"))

    def sentence(self) -> str:
        """Return the reason on one line."""
        return fields.one_line(self.reason.data)

    def is_complete(self) -> bool:
        """Return whether there is a reason and all points are ticked; put an error beside what is missing."""
        if not fields.is_sentence(self.sentence()):
            self.reason.errors = [gettext("Écrivez le motif en quelques mots : il reste au journal.")]
        for point in (self.came, self.document, self.guardian):
            if not point.data:
                point.errors = [gettext("Sans ce point, aucun courrier : « %(point)s ».", point=point.label.text)]
        return not self.errors


blueprint = Blueprint("letter", __name__)


@blueprint.get("/comptes/<uuid:key>/courrier")
@needs(Right.PRINT_LETTER, sometimes_fresh=True)
def show(key: uuid.UUID) -> Response:
    """Show what a new letter will do, or why there is none."""
    account = reading.open_account(key)
    refusal = service.refusal(account, access.own_school())
    proof = access.proof_first() if not refusal and service.needs_proof(account) else None
    return proof or _page(account, _form(account), refusal)


@blueprint.post("/comptes/<uuid:key>/courrier")
@needs(Right.PRINT_LETTER, sometimes_fresh=True)
@keeps("reason", "came", "document", "guardian")
def draw(key: uuid.UUID) -> Response:
    """Print the letter, and lead to its file."""
    account, school = reading.open_account(key), access.own_school()
    form = _form(account)
    if refusal := service.refusal(account, school):
        return _page(account, form, refusal)
    if form.generation.data != str(account.generation):
        return _sent_twice(account)
    if service.count_letter(account) and (proof := access.proof_first()):
        return proof
    if account.has_been_active and not form.is_complete():
        return _page(account, form)
    return _print(account, school, form)


def _print(account: Account, school: School, form: LetterForm) -> Response:
    reason = form.sentence() if account.has_been_active else ""
    letter = CounterLetter(account, school, form.layout.data == SLIP, reason)
    try:
        job = service.print_letter(services().settings, services().hasher, letter)
    except service.RefusedError as refused:
        if refused.code == Refusal.CHANGED:
            return _sent_twice(account)
        return _page(access.account(account.id), form, fault=refused.code)
    return see_other(url_for("jobs.show", key=job.id))


def _sent_twice(account: Account) -> Response:
    """Lead to the letter that a first click has printed; a second letter would end its code."""
    job = service.last_printed(account.id)
    if job:
        return see_other(url_for("jobs.show", key=job.id))
    now = access.account(account.id)
    return _page(now, _form(now), fault=Refusal.CHANGED)


def _form(account: Account) -> LetterForm:
    """Return the form, whose checklist names the pupils."""
    form = LetterForm()
    form.guardian.label.text = gettext(
        "C’est bien un responsable légal. Élève : %(children)s", children=_children(account)
    )
    return form


def _children(account: Account) -> str:
    """Return the pupils of this school on one line; children in other schools are not its concern."""
    here = [child for child in account.children if child.school_id == access.own_school().id]
    return ", ".join(
        f"{child.given_name} {child.family_name}" + (f" ({child.class_name})" if child.class_name else "")
        for child in here
    )


def _page(account: Account, form: LetterForm, refusal: str = "", fault: str = "") -> Response:
    page = render_template(
        "desk/letter/nouveau_courrier.html",
        account=account,
        children=_children(account),
        back=url_for("accounts.show", account=account.id),
        form=form,
        needs_proof=account.has_been_active,
        refusal=REFUSALS[refusal] if refusal else "",
        fault=REFUSALS[fault] if fault else "",
        effects=_effects(services().settings, account),
    )
    return make_response(page)


def _effects(settings: Settings, account: Account) -> list[str]:
    """Return what a new letter will do, in sentences."""
    valid = gettext("Le nouveau mot de passe provisoire est valable %(days)s jours.", days=settings.provisional_days)
    if account.activated_at is None:
        if account.provisional_hash is None:
            return [valid]
        return [gettext("Le mot de passe provisoire du courrier précédent ne marchera plus."), valid]
    emails = [masked(email) or "" for email in (account.email, account.contested_email) if email]
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


def letter_url(account_id: uuid.UUID) -> str:
    """Return the URL of « Nouveau courrier » for an account."""
    return url_for("letter.show", key=account_id)


actions.register(
    Action(
        key="letter",
        right=Right.PRINT_LETTER,
        label=_l("Nouveau courrier"),
        url=lambda subject: letter_url(subject.account.id),
        is_offered=lambda subject: group_of(subject.holding) is not Group.CLOSED and subject.cut_off is None,
        rank=40,
    )
)


def run(_running: Running) -> Finished:
    """Refuse: no such job waits for the worker."""
    raise RefusedError("fault")


def describe(job: Job) -> Sequence[str]:
    """Return whose letter it is, and what to do with it: after its file was taken, and if nobody took it."""
    name = words.name(uuid.UUID(job.parameters["account"]))
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
    return letter_url(uuid.UUID(job.parameters["account"]))


def back(job: Job) -> Step:
    """Return the way back to the page of the account."""
    key = uuid.UUID(job.parameters["account"])
    label = gettext("Revenir au compte de %(name)s", name=words.name(key))
    return Step(label, url_for("accounts.show", account=key))
