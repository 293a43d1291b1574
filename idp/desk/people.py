"""`/droits`: find a person, hand out all data, ask for a correction, erase."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response, abort, request, url_for
from flask_babel import gettext, lazy_gettext as _l, ngettext
from sqlalchemy import select

from idp.accounts.models import Account
from idp.audit.data_events import AccountErased
from idp.audit.models import AuditEntry
from idp.config import Settings
from idp.db import db
from idp.desk import access, family_pages, fields, naming, retention
from idp.desk.access import Right, needs
from idp.desk.families import subjects
from idp.desk.families.subjects import Action
from idp.desk.fields import WordField
from idp.desk.kept_forms import DeskForm, keeps
from idp.desk.school import find_typed
from idp.desk.search import service
from idp.desk.search.query import SHORTEST, Filters, Terms
from idp.desk.search.service import Results
from idp.families.refusals import RefusedError
from idp.operations.personal_data import export as personal_export, rights
from idp.operations.personal_data.rights import Kept
from idp.operations.purge.unused_accounts import YEARS_AFTER_DEPARTURE
from idp.services import services
from idp.web.forms import PlainField
from idp.web.redirects import render_page, see_other

_KEPT: Mapping[str, Any] = {
    "pupils": _l("Les enfants : ce sont des élèves de l’établissement, et leur fiche part avec son fichier."),
    "closing": _l(
        "La décision qui ferme l’accès à un élève, sans rien de la personne : tout nouveau responsable de cet élève "
        "attend la direction. Elle reste jusqu’à sa fin, et au plus %(years)s ans après le départ de l’élève.",
        years=YEARS_AFTER_DEPARTURE,
    ),
    "school_file_refused": _l(
        "Le fichier de l’établissement : il nomme encore la personne. Le prochain import crée un nouveau compte. Là où "
        "l’accès à un élève était fermé, ce compte attend la direction ; ailleurs, il reçoit un courrier."
    ),
    "school_file": _l(
        "Le fichier de l’établissement : il nomme encore la personne. Le prochain import crée un nouveau compte, "
        "sauf si l’établissement retire la personne de son fichier."
    ),
    "ents": _l("Les comptes dans les ENT : chaque ENT répond lui-même. Nous lui demandons de fermer les connexions."),
    "copies": _l("Les sauvegardes de la base et les mails déjà envoyés : personne ne peut y effacer une ligne."),
}


def what_stays(settings: Settings, kept: Kept) -> str:
    """Return the sentence about data that stay, with the reason."""
    if kept.name != "journal":
        return str(_KEPT[kept.name])
    return str(
        ngettext(
            "Le journal : %(num)s ligne, sans adresse ni détails, comme preuve de ce qui a été fait, "
            "pendant %(days)s jours au plus.",
            "Le journal : %(num)s lignes, sans adresse ni détails, comme preuve de ce qui a été fait, "
            "pendant %(days)s jours au plus.",
            kept.count,
            days=settings.audit_days,
        )
    )


def what_stayed(name: str) -> str:
    """Return the sentence about data that stayed, by the name in the journal; empty for an unknown name."""
    if name == "journal":
        return str(gettext("Le journal : la trace de ce qui a été fait, sans adresse ni détails."))
    return str(_KEPT.get(name, ""))


blueprint = Blueprint("people", __name__)
_DONE = {"note": _l("La demande de correction est dans les signalements de l’établissement.")}


class NoteForm(DeskForm):
    """What a school has to correct."""

    note = PlainField(_l("Correction à faire"), longest=rights.LONGEST)


class ErasureForm(DeskForm):
    """Why a person is erased, and the word that confirms."""

    reason = PlainField(_l("Motif ou référence de la demande"), longest=200)
    word = WordField("EFFACER")


@blueprint.get("/droits")
@needs(Right.READ_RETENTION)
def show() -> Response:
    """Show the search for a person, and how long data are kept."""
    rows = retention.rows(services().settings)
    return render_page("desk/people/droits.html", search=Search(), retention=rows)


@dataclass
class Search:
    """What was typed into the search, a sentence for each fault, and the results."""

    text: str = ""
    school: str = ""
    faults: dict[str, str] = field(default_factory=dict)
    results: Results | None = None


@blueprint.get("/droits/recherche")
@needs(Right.SERVE_RIGHTS, fresh=True)
def find() -> Response:
    """Find a person by a name, a pupil, an identifier or a mail address, and by the school if one is typed."""
    search = Search(fields.searched("q"), fields.searched("ecole"))
    terms, (schools, fault) = Terms.parse(search.text), find_typed(search.school)
    if terms.is_empty:
        least = gettext("Tapez au moins %(n)s lettres d’un nom, un identifiant ou une adresse mail.", n=SHORTEST)
        search.faults["q"] = least
    if fault:
        search.faults["ecole"] = fault
    if not search.faults:
        search.results = service.find(services().settings, terms, Filters(schools=tuple(schools)))
    return render_page("desk/people/recherche.html", search=search, most=service.MOST)


@blueprint.get("/droits/<uuid:key>")
@needs(Right.SERVE_RIGHTS, fresh=True)
def person(key: uuid.UUID) -> Response:
    """Show what can be done for a person."""
    account = family_pages.open_account(key)
    return _person_page(account, NoteForm())


def _person_page(account: Account, form: NoteForm) -> Response:
    done = str(_DONE.get(request.args.get("fait", ""), ""))
    return render_page("desk/people/personne.html", account=account, form=form, done=done)


@blueprint.post("/droits/<uuid:key>/copie")
@needs(Right.SERVE_RIGHTS, fresh=True)
@keeps()
def copy(key: uuid.UUID) -> Response:
    """Return all data that are held on a person, as one archive, which is never stored."""
    account = access.account(key)
    archive = personal_export.archive_of(services().settings, account)
    return naming.as_download(archive, f"donnees-{account.id}.zip", "application/zip")


@blueprint.post("/droits/<uuid:key>/correction")
@needs(Right.SERVE_RIGHTS, fresh=True)
@keeps("note")
def rectify(key: uuid.UUID) -> Response:
    """Ask the schools of a person to correct its data."""
    account, form = access.account(key), NoteForm()
    note = fields.one_line(form.note.data)
    if not fields.is_sentence(note):
        form.note.errors = [gettext("Écrivez ce que l’établissement doit corriger.")]
        return _person_page(account, form)
    try:
        rights.ask_correction(account, note)
    except RefusedError as refused:
        form.note.errors = [family_pages.refusal(refused)]
        return _person_page(account, form)
    return see_other(url_for("people.person", key=account.id, fait="note"))


@blueprint.get("/droits/<uuid:key>/effacement")
@needs(Right.SERVE_RIGHTS, fresh=True)
def confirm(key: uuid.UUID) -> Response:
    """Show what an erasure does and what stays, before it is confirmed."""
    return _erasure_page(family_pages.open_account(key), ErasureForm())


def _erasure_page(account: Account, form: ErasureForm, obstacle: str = "") -> Response:
    settings, kept = services().settings, list[Kept]()
    try:
        kept = rights.preview(account)
    except RefusedError as refused:
        obstacle = family_pages.refusal(refused)
    stays = [what_stays(settings, item) for item in kept]
    return render_page("desk/people/effacement.html", account=account, form=form, stays=stays, obstacle=obstacle)


@blueprint.post("/droits/<uuid:key>/effacement")
@needs(Right.SERVE_RIGHTS, fresh=True)
@keeps("reason", "word")
def erase(key: uuid.UUID) -> Response:
    """Erase a person, once the reason and the word were typed."""
    account, form = access.account(key), ErasureForm()
    reason = fields.one_line(form.reason.data)
    if not fields.is_sentence(reason):
        form.reason.errors = [gettext("Écrivez le motif : la référence de la demande, ou quelques mots.")]
    if not form.word.is_typed() or form.errors:
        return _erasure_page(account, form)
    try:
        rights.erase(account.id, reason)
    except RefusedError as refused:
        return _erasure_page(account, form, family_pages.refusal(refused))
    return see_other(url_for("people.erased", key=key))


@blueprint.get("/droits/<uuid:key>/efface")
@needs(Right.SERVE_RIGHTS, fresh=True)
def erased(key: uuid.UUID) -> Response:
    """Show that a person is erased, and what stayed."""
    of_person = AuditEntry.account_id == key, AuditEntry.kind == AccountErased.kind
    entry = db.session.scalar(select(AuditEntry).where(*of_person, access.journal()).limit(1))
    if entry is None:
        abort(404)
    names = entry.details.get("kept", [])
    stayed = [sentence for name in names if (sentence := what_stayed(str(name)))]
    return render_page("desk/people/efface.html", stayed=stayed, key=key)


subjects.register(
    Action(
        key="rights",
        right=Right.SERVE_RIGHTS,
        label=_l("Droits de cette personne"),
        url=lambda subject: url_for("people.person", key=subject.account.id),
        is_offered=lambda _subject: True,
        rank=90,
    )
)
