"""`/impressions`: the letters of a class or a school, as the job `print`, or again; in words, why there are none.

All secrets and the encrypted files are stored in one transaction, together with the end of the job: after a kill or a
cancellation before it, no secret has changed and the job is done again or not at all; after it, the job is over.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

from flask import Blueprint, Response, request, url_for
from flask_babel import LazyString, gettext, lazy_gettext as _l
from sqlalchemy import select

from idp.accounts.models import Account, School
from idp.accounts.passwords.hasher import HasherBusyError
from idp.audit import log
from idp.audit.desk_events import ClassListed
from idp.clock import today
from idp.db import db, unit_of_work
from idp.desk import access, home, naming, uncollected_letters
from idp.desk.access import Right, needs
from idp.desk.fields import WordField
from idp.desk.jobs import files, lifecycle
from idp.desk.jobs.kinds import LETTER, PRINT, BusyError, Finished, RefusedError, Running
from idp.desk.jobs.models import Job, JobFile, State
from idp.desk.kept_forms import DeskForm, keeps
from idp.letters import printing, recipients
from idp.letters.recipients import PrintError, Recipient, Refusal, Skip, Skipped
from idp.letters.render.pdf import LetterError
from idp.services import services
from idp.web.redirects import render_page, see_other

PROBLEMS = (Skip.CHANGED, Skip.TOO_LONG, Skip.UNKNOWN_GLYPH, Skip.FAULTY, Skip.DISPUTED)
"""The reasons that somebody has to act on; the others are as expected."""


def run(running: Running) -> Finished:
    """Print the letters; see `Kind.run`."""
    settings, parameters = running.settings, running.parameters
    school = db.session.get(School, running.school_id) if running.school_id else None
    if school is None or services().settings_faults(settings):
        raise RefusedError("settings")
    only = None
    if again := parameters.get("again"):
        former = db.session.get(Job, UUID(again))
        if former is None:  # it was purged
            raise RefusedError("no_print")
        only = uncollected_letters.accounts_of(former)
    order = printing.PrintOrder(
        uai=school.uai,
        class_name=parameters["class"] if only is None else None,  # a pupil may have changed the class since
        only=only,
        renew=parameters["renew"],
        unprinted=uncollected_letters.of_school(settings, school.id),
        as_slips=parameters["slips"],
    )

    def keep(pdfs: Sequence[tuple[str, bytes]], report: printing.Report) -> None:
        running.check()
        running.finish(_result(report), *_files(pdfs))

    try:
        report = printing.print_in_memory(settings, services().hasher, order, keep, running.tick)
    except PrintError as refused:
        raise RefusedError(str(refused.refusal or "fault")) from refused
    except LetterError as fault:
        raise RefusedError("faulty") from fault
    except (HasherBusyError, BrokenProcessPool) as busy:
        raise BusyError from busy
    return Finished(_result(report))


def _result(report: printing.Report) -> dict[str, Any]:
    skipped: dict[str, list[str]] = {}
    for entry in report.skipped:
        skipped.setdefault(entry.skip.value, []).append(str(entry.account_id))
    return {"letters": report.printed, "people": [str(key) for key in report.people], "skipped": skipped}


def _files(pdfs: Sequence[tuple[str, bytes]]) -> Iterator[files.NewFile]:
    """Yield a file for each PDF, named by its class: two classes, or two PDFs of one, may share a name."""
    seen: Counter[str] = Counter()
    for class_name, pdf in pdfs:
        stem = f"courriers-{naming.of_class(class_name or 'sans-classe')}-{today().isoformat()}"
        seen[stem] += 1
        yield files.NewFile(f"{stem}{f'-{seen[stem]}' if seen[stem] > 1 else ''}.pdf", naming.PDF, pdf)


def title(job: Job) -> str:
    """Return what a job prints: « 6e 1 », « Tout l’établissement », « 6e 1, à nouveau »."""
    title = naming.class_title(job.parameters["class"])
    return gettext("%(what)s, à nouveau", what=title) if job.parameters.get("again") else title


def again_of(job: Job) -> str:
    """Return the URL at which the letters of a job are printed again; that of its class if it printed none."""
    if job.result.get("people"):
        return url_for("prints.again", key=job.id)
    chosen: dict[str, Any] = naming.class_query(job.parameters["class"])
    return url_for("classes.letters", **chosen)


def problems_of(jobs: Iterable[Job]) -> dict[UUID, list[str]]:
    """Return, for each print, the sentences about letters that need an act of the school, with the names of people."""
    lists: dict[UUID, dict[str, list[UUID]]] = {}
    for job in jobs:
        skipped = job.result.get("skipped", {})
        lists[job.id] = {skip: [UUID(key) for key in skipped[skip]] for skip in PROBLEMS if skipped.get(skip)}
    names = names_of({key for each in lists.values() for keys in each.values() for key in keys})
    return {
        job: [f"{SKIPS[skip]} : {listed(keys, names)}." for skip, keys in each.items()] for job, each in lists.items()
    }


def describe(job: Job) -> Sequence[str]:
    """Return what was printed, who got no letter and why."""
    if job.state is State.CANCELLED:
        return [gettext("Rien n’a été imprimé, et aucun mot de passe provisoire n’a changé.")]
    if job.refusal:
        return [str(REFUSALS.get(job.refusal, REFUSALS["fault"]))]
    count, skipped = job.result.get("letters", 0), job.result.get("skipped", {})
    first = gettext("%(what)s : %(count)s courriers à remettre.", what=title(job), count=count)
    if count == 1:
        first = gettext("%(what)s : un courrier à remettre.", what=title(job))
    elif not count:
        first = gettext("%(what)s : aucun courrier à imprimer.", what=title(job))
    others = [f"{SKIPS[skip]} : {len(keys)}." for skip, keys in skipped.items() if skip not in PROBLEMS and keys]
    return [first, *problems_of([job])[job.id], *others]


blueprint = Blueprint("prints", __name__)


@home.source(Right.PRINT_CLASSES)
def _uncollected() -> Iterator[home.Tile]:
    school = access.post().school
    if school is not None:
        yield home.Tile(
            len(uncollected_letters.of_school(services().settings, school.id)),
            gettext("Courriers que personne n’a pris"),
            gettext("Leur fichier est effacé : ils n’existent pas sur papier. Imprimez-les à nouveau."),
            url_for("prints.show"),
        )


@blueprint.get("/impressions")
@needs(Right.PRINT_CLASSES)
def show() -> Response:
    """Show the last prints: who asked, what, when, the problems, the file once."""
    jobs = lifecycle.recent(PRINT, LETTER)
    by, made = lifecycle.authors(jobs), files.made_by([job.id for job in jobs])
    names = names_of([UUID(job.parameters["account"]) for job in jobs if job.kind == LETTER.name])
    problems = problems_of(job for job in jobs if job.kind == PRINT.name)
    rows = [
        {"by": by.get(job.staff_id, ""), "problems": problems.get(job.id, []), **_row(job, names, made.get(job.id, []))}
        for job in jobs
    ]
    return render_page("desk/prints/impressions.html", rows=rows, again=PRINT.again)


def _row(job: Job, names: Mapping[UUID, str], made: Sequence[JobFile]) -> dict[str, Any]:
    kind = PRINT if job.kind == PRINT.name else LETTER
    layout = gettext("Petit format") if job.parameters["slips"] else gettext("Lettres")
    if kind is PRINT:
        what, layout = title(job), gettext("%(layout)s, par classe puis par nom", layout=layout)
    else:
        what = names.get(UUID(job.parameters["account"]), gettext("Un compte"))
    return {
        "job": job,
        "what": what,
        "layout": layout,
        "state": _state(job),
        "files": made,
        "has_file": lifecycle.is_own(job) and any(file.is_waiting for file in made),
        "again_url": kind.again_to(job) if kind.again_to and job.state.is_over else "",
    }


def _state(job: Job) -> Any:
    match job.state:
        case State.DONE:
            count = job.result.get("letters", 0)
            single, several = gettext("Terminé : un courrier"), gettext("Terminé : %(count)s courriers", count=count)
            return single if count == 1 else several if count else gettext("Terminé : aucun courrier")
        case State.WAITING:
            return gettext("En attente")
        case State.RUNNING:
            return gettext("En cours : %(done)s sur %(total)s", done=job.done, total=job.total or "?")
        case State.CANCELLED:
            return gettext("Annulé, rien n’a changé")
    return gettext("Arrêté, rien n’a changé")


class AgainForm(DeskForm):
    """The word that confirms."""

    word = WordField("IMPRIMER")


@blueprint.route("/impressions/<uuid:key>/a-nouveau", methods=["GET", "POST"])
@needs(Right.PRINT_CLASSES, fresh=True)
@keeps("word")
def again(key: UUID) -> Response:
    """Show who gets a letter again, by class; on a POST with the typed word, ask for the print."""
    (job, kind), school, form = lifecycle.get(key), access.own_school(), AgainForm()
    if kind is not PRINT or not uncollected_letters.accounts_of(job):  # nobody got a letter
        access.refuse(str(key))
    try:
        recipients.check_school(school)
        people, skipped = recipients.in_school(school, None, renew=True, only=uncollected_letters.accounts_of(job))
    except PrintError as refused:
        return _again_page(job, form, [], [], refusal=str(refused.refusal or "fault"))
    if request.method == "POST" and form.word.is_typed():
        parameters = {**job.parameters, "renew": True, "again": str(job.id)}
        if started := start(form, parameters, str(job.id), len(people)):
            return started
    return _again_page(job, form, people, skipped)


def start(form: DeskForm, parameters: Mapping[str, Any], lane: str, count: int) -> Response | None:
    """Ask for a print of `count` letters, and lead to its job, also after a second tap.

    Return None if there is nobody, or a colleague asked first for the print of this `lane`; the form says so.
    """
    if not count:
        form.form_errors.append(gettext("Il n’y a personne à qui imprimer un courrier."))
        return None
    job = lifecycle.start_alone(PRINT, parameters, f"{PRINT.name} {access.own_school().uai} {lane}")
    if job and lifecycle.is_own(job) and job.parameters == parameters:
        return see_other(url_for("jobs.show", key=job.id))
    form.form_errors.append(gettext("Une impression de ces courriers est déjà en cours. Attendez sa fin."))
    return None


def _again_page(
    job: Job, form: AgainForm, people: Sequence[Recipient], skipped: Sequence[Skipped], refusal: str = ""
) -> Response:
    printed = uncollected_letters.accounts_of(job)
    names = names_of(printed)
    if names:
        with unit_of_work():
            log.record(ClassListed(class_name=job.parameters["class"] or "", count=len(names)))
    return render_page(
        "desk/prints/a_nouveau.html",
        job=job,
        what=title(job),
        by=lifecycle.authors([job]).get(job.staff_id, ""),
        form=form,
        groups=named_groups(people, skipped, names),
        count=sum(entry.account_id in names for entry in people),
        without_pupil=len(printed) - len(people) - len(skipped),
        refusal=REFUSALS[refusal] if refusal else "",
    )


REFUSALS: dict[str, LazyString] = {
    Refusal.NO_SCHOOL: _l("Cet établissement n’est plus connu."),
    Refusal.UNNAMED: _l("L’établissement n’a pas encore de nom à imprimer : complétez d’abord la page Établissement."),
    Refusal.NO_ENT: _l("Aucun ENT avec une adresse à taper n’est relié à l’établissement : demandez à l’académie."),
    Refusal.ENT_URL: _l("L’adresse de l’ENT ne peut pas être imprimée : demandez à l’académie de la corriger."),
    Refusal.NO_CLASS: _l("Cette classe n’existe plus dans l’établissement."),
    Refusal.NO_ACCOUNT: _l("Ce compte n’existe plus."),
    Refusal.MERGED: _l(
        "Les enfants de ce compte sont passés sur un autre compte de la même personne : imprimez le courrier de "
        "l’autre compte."
    ),
    Refusal.DISABLED: _l("Ce compte est fermé : un courrier ne pourrait pas servir. Il faut d’abord le rouvrir."),
    Refusal.CLOSED: _l("L’accès est suspendu : un courrier ne pourrait pas servir. La direction rouvre d’abord."),
    Refusal.DISPUTED: _l(
        "Le responsable de l’élève est contesté : réglez d’abord ce signalement. Aucun courrier n’est imprimé avant."
    ),
    Refusal.CHILDLESS: _l("Ce compte n’a plus d’enfant dans un établissement : un courrier n’ouvrirait rien."),
    Refusal.TIE_CLOSED: _l(
        "Le lien de cette personne avec l’élève est suspendu : un courrier n’ouvrirait rien. La direction rouvre "
        "d’abord."
    ),
    Refusal.WAITS: _l(
        "Cette personne attend la direction : un courrier n’ouvrirait rien. La direction décide d’abord, dans "
        "« Décisions »."
    ),
    Refusal.NOT_HERE: _l(
        "Ce compte n’a plus d’enfant dans votre établissement : l’autre établissement imprime le courrier."
    ),
    Refusal.NO_REASON: _l("Le mot de passe vient d’être choisi : revenez à la page du compte, puis recommencez."),
    Refusal.TOO_MANY: _l("Il y a trop de courriers pour une seule impression : imprimez classe par classe."),
    Refusal.CHANGED: _l("Le compte a changé depuis l’ouverture de cette page. Vérifiez, puis recommencez."),
    "no_print": _l("La première impression n’est plus connue ici : recommencez depuis la page Classes."),
    Skip.TOO_LONG: _l(
        "Un nom ou l’adresse postale est trop long pour le papier. Rien n’a été imprimé : raccourcissez-le dans la "
        "base élèves."
    ),
    Skip.UNKNOWN_GLYPH: _l(
        "Un nom ou l’adresse postale a un caractère que le papier ne sait pas écrire (chinois, par exemple). Rien n’a "
        "été imprimé : écrivez-le en lettres latines dans la base élèves."
    ),
    "faulty": _l("Une lettre ne peut pas être mise en page. Rien n’a été imprimé ; demandez à l’académie."),
    "settings": _l("Le service n’est pas encore réglé pour imprimer des courriers : demandez à l’académie."),
    "busy": _l("Le service est très occupé. Rien n’a été imprimé : réessayez dans un instant."),
    "role_ended": _l("Votre accès s’est terminé pendant l’impression : rien n’a été imprimé."),
    "fault": _l(
        "L’impression a échoué. Aucun mot de passe provisoire n’a changé : recommencez, ou demandez à l’académie."
    ),
}

SKIPS: dict[str, LazyString] = {
    Skip.CHANGED: _l("Compte modifié pendant l’impression"),
    Skip.TOO_LONG: _l(
        "Rien d’imprimé, car un nom ou l’adresse est trop long pour le papier (à raccourcir dans la base élèves)"
    ),
    Skip.UNKNOWN_GLYPH: _l(
        "Rien d’imprimé, car un nom ou l’adresse a un caractère que le papier ne sait pas écrire (à écrire en lettres "
        "latines dans la base élèves)"
    ),
    Skip.FAULTY: _l("Courrier impossible à mettre en page"),
    Skip.DISPUTED: _l("Compte contesté, à régler dans « Décisions »"),
    Skip.CLOSED: _l("Accès suspendu"),
    Skip.WAITS: _l("Attend la direction, dans « Décisions »"),
    Skip.DISABLED: _l("Compte fermé"),
    Skip.HAS_LETTER: _l("Courrier encore valable"),
    Skip.ACTIVE: _l("Mot de passe déjà choisi"),
    Skip.WAS_ACTIVE: _l(
        "Mot de passe déjà choisi, compte fermé par un nouveau courrier (un courrier à la fois, avec un motif)"
    ),
}
"""Why a person got no letter, most pressing first."""

_NAMED = 30


def name_of(key: UUID) -> str:
    """Return the name of an account in scope as a sentence has it: « Mme Noémie LEROY »; empty if there is none."""
    account = db.session.scalar(select(Account).where(Account.id == key, access.accounts()))
    return account.display_name if account else ""


def names_of(keys: Collection[UUID]) -> dict[UUID, str]:
    """Return the names of accounts in scope, as a list has them: « LEROY Noémie »."""
    rows = db.session.execute(
        select(Account.id, Account.family_name, Account.given_name).where(Account.id.in_(keys), access.accounts())
    )
    return {row.id: f"{row.family_name} {row.given_name}".strip() for row in rows}


def listed(keys: Collection[UUID], known: Mapping[UUID, str]) -> str:
    """Return the `known` names of accounts as one line, with the number of those that it leaves out."""
    shown = sorted(known[key] for key in keys if key in known)[:_NAMED]
    return ", ".join(shown) + (f", … (+{len(keys) - len(shown)})" if len(keys) > len(shown) else "")


class NamedGroup(NamedTuple):
    """A title of the page with the names of people below it."""

    title: str
    names: list[str]
    is_open: bool = False


MOST_OPEN = 50  # more names than these are folded, by class


def named_groups(
    people: Sequence[Recipient], skipped: Sequence[Skipped], known: Mapping[UUID, str]
) -> Iterator[NamedGroup]:
    """Yield who gets a letter, in the order of the letters, and who gets none, for each reason.

    Those without a name in `known` are not shown.
    """
    by_class: dict[str, list[str]] = {}
    for entry in people:
        if entry.account_id in known:
            by_class.setdefault(entry.class_name or gettext("Sans classe"), []).append(known[entry.account_id])
    shown = list(chain.from_iterable(by_class.values()))
    if len(shown) <= MOST_OPEN:
        yield NamedGroup(gettext("Recevront un courrier : %(n)s", n=len(shown)), shown, is_open=True)
    else:
        title = gettext("Recevront un courrier")
        yield from (NamedGroup(f"{title}, {name} : {len(each)}", each) for name, each in by_class.items())
    for skip, reason in SKIPS.items():
        passed_over = sorted(
            known[entry.account_id] for entry in skipped if entry.skip == skip and entry.account_id in known
        )
        if passed_over:
            yield NamedGroup(f"{reason} : {len(passed_over)}", passed_over)
