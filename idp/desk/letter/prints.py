"""`/impressions`: the letters of a class or of a school, as the job `print`, and those of one print again.

All secrets and the encrypted files are stored in one transaction, together with the end of the job: after a kill or a
cancellation before it, no secret has changed and the job is done again or not at all; after it, the job is over.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext

from idp.accounts.models import School
from idp.accounts.passwords.hasher import HasherBusyError
from idp.audit import log
from idp.audit.desk_events import ClassListed
from idp.clock import today
from idp.db import db, unit_of_work
from idp.desk import access, home, naming, uncollected_letters
from idp.desk.access import Right, needs
from idp.desk.fields import WordField
from idp.desk.home import Tile
from idp.desk.jobs import asking, files
from idp.desk.jobs.files import NewFile
from idp.desk.jobs.kinds import LETTER, PRINT
from idp.desk.jobs.models import Job, JobFile, State
from idp.desk.jobs.work import BusyError, Finished, RefusedError, Running
from idp.desk.kept_forms import DeskForm, keeps
from idp.desk.letter import words
from idp.letters import printing, recipients
from idp.letters.printing import PrintOrder, Report
from idp.letters.recipients import PrintError, Recipient, Skip, Skipped
from idp.letters.render.pdf import LetterError
from idp.services import services
from idp.web.redirects import see_other

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
    order = PrintOrder(
        uai=school.uai,
        class_name=parameters["class"] if only is None else None,  # a pupil may have changed the class since
        only=only,
        renew=parameters["renew"],
        unprinted=uncollected_letters.of_school(settings, school.id),
        as_slips=parameters["slips"],
    )

    def keep(pdfs: Sequence[tuple[str, bytes]], report: Report) -> None:
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


def _result(report: Report) -> dict[str, Any]:
    """Return what the pages show of a print: numbers, and the ids of the people who got a letter, or none."""
    skipped: dict[str, list[str]] = {}
    for entry in report.skipped:
        skipped.setdefault(entry.skip.value, []).append(str(entry.account_id))
    return {"letters": report.printed, "people": [str(key) for key in report.people], "skipped": skipped}


def _files(pdfs: Sequence[tuple[str, bytes]]) -> Iterator[NewFile]:
    """Yield a file for each PDF, named by its class: two classes, or two PDFs of one, may share a name."""
    seen: Counter[str] = Counter()
    for class_name, pdf in pdfs:
        stem = f"courriers-{naming.of_class(class_name or 'sans-classe')}-{today().isoformat()}"
        seen[stem] += 1
        yield NewFile(f"{stem}{f'-{seen[stem]}' if seen[stem] > 1 else ''}.pdf", naming.PDF, pdf)


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
    lists = {job.id: _problems(job) for job in jobs}
    names = words.names({key for each in lists.values() for keys in each.values() for key in keys})
    return {
        job: [f"{words.SKIPS[skip]} : {words.listed(keys, names)}." for skip, keys in each.items()]
        for job, each in lists.items()
    }


def _problems(job: Job) -> dict[str, list[UUID]]:
    skipped = job.result.get("skipped", {})
    return {skip: [UUID(key) for key in skipped[skip]] for skip in PROBLEMS if skipped.get(skip)}


def describe(job: Job) -> Sequence[str]:
    """Return what was printed, who got no letter and why."""
    if job.state is State.CANCELLED:
        return [gettext("Rien n’a été imprimé, et aucun mot de passe provisoire n’a changé.")]
    if job.refusal:
        return [str(words.REFUSALS.get(job.refusal, words.REFUSALS["fault"]))]
    count, skipped = job.result.get("letters", 0), job.result.get("skipped", {})
    first = gettext("%(what)s : %(count)s courriers à remettre.", what=title(job), count=count)
    if count == 1:
        first = gettext("%(what)s : un courrier à remettre.", what=title(job))
    elif not count:
        first = gettext("%(what)s : aucun courrier à imprimer.", what=title(job))
    others = [f"{words.SKIPS[skip]} : {len(keys)}." for skip, keys in skipped.items() if skip not in PROBLEMS and keys]
    return [first, *problems_of([job])[job.id], *others]


blueprint = Blueprint("prints", __name__)


@home.source(Right.PRINT_CLASSES)
def _untaken() -> Iterator[Tile]:
    school = access.post().school
    if school is not None:
        yield Tile(
            len(uncollected_letters.of_school(services().settings, school.id)),
            gettext("Courriers que personne n’a pris"),
            gettext("Leur fichier est effacé : ils n’existent pas sur papier. Imprimez-les à nouveau."),
            url_for("prints.show"),
        )


@blueprint.get("/impressions")
@needs(Right.PRINT_CLASSES)
def show() -> Response:
    """Show the last prints: who asked, what, when, the problems, the file once."""
    jobs = asking.recent(PRINT, LETTER)
    by, made = asking.authors(jobs), files.made_by([job.id for job in jobs])
    names = words.names([UUID(job.parameters["account"]) for job in jobs if job.kind == LETTER.name])
    problems = problems_of(job for job in jobs if job.kind == PRINT.name)
    rows = [
        {"by": by.get(job.staff_id, ""), "problems": problems.get(job.id, []), **_row(job, names, made.get(job.id, []))}
        for job in jobs
    ]
    return make_response(render_template("desk/prints/impressions.html", rows=rows, again=PRINT.again))


def _row(job: Job, names: Mapping[UUID, str], made: Sequence[JobFile]) -> dict[str, Any]:
    """Return a print as the page shows it: whether the person may take a file, and where it is printed again."""
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
        "has_file": asking.is_own(job) and any(file.is_waiting for file in made),
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
    """Nothing but the word."""

    word = WordField("IMPRIMER")


@blueprint.route("/impressions/<uuid:key>/a-nouveau", methods=["GET", "POST"])
@needs(Right.PRINT_CLASSES, fresh=True)
@keeps("word")
def again(key: UUID) -> Response:
    """Show who gets a letter again, by class; on a POST with the typed word, ask for the print."""
    job, school, form = _print_again(key), access.own_school(), AgainForm()
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
    job = asking.start_alone(PRINT, parameters, f"{PRINT.name} {access.own_school().uai} {lane}")
    if job and asking.is_own(job) and job.parameters == parameters:
        return see_other(url_for("jobs.show", key=job.id))
    form.form_errors.append(gettext("Une impression de ces courriers est déjà en cours. Attendez sa fin."))
    return None


def _print_again(key: UUID) -> Job:
    """Return a print in scope, of which somebody got a letter; refuse the page otherwise."""
    job, kind = asking.get(key)
    if kind is not PRINT or not uncollected_letters.accounts_of(job):
        access.refuse(str(key))
    return job


def _again_page(
    job: Job, form: AgainForm, people: Sequence[Recipient], skipped: Sequence[Skipped], refusal: str = ""
) -> Response:
    printed = uncollected_letters.accounts_of(job)
    names = words.names(printed)
    if names:
        with unit_of_work():
            log.record(ClassListed(class_name=job.parameters["class"] or "", count=len(names)))
    return make_response(
        render_template(
            "desk/prints/a_nouveau.html",
            job=job,
            what=title(job),
            by=asking.authors([job]).get(job.staff_id, ""),
            form=form,
            groups=words.groups(people, skipped, names),
            count=sum(entry.account_id in names for entry in people),
            without_pupil=len(printed) - len(people) - len(skipped),
            refusal=words.REFUSALS[refusal] if refusal else "",
        )
    )
