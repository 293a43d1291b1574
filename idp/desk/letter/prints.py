"""`/impressions`: the letters of a class or of a school, as the job `print`, and those of one print again.

All secrets and the encrypted files are stored in one transaction, together with the end of the job: after a kill or a
cancellation before it, no secret has changed and the job is done again or not at all; after it, the job is over.
"""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
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
from idp.desk import access, downloads, home, naming, uncollected_letters
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
from idp.desk.letter.words import getting_letters, skipped_people
from idp.letters import printing, recipients
from idp.letters.printing import PrintOrder, Report
from idp.letters.recipients import PrintError, Recipient, Skip, Skipped
from idp.letters.render.pdf import LetterError
from idp.services import services
from idp.web.redirects import see_other

_WITHOUT_CLASS = "sans-classe"
PROBLEMS = (Skip.CHANGED, Skip.TOO_LONG, Skip.UNKNOWN_GLYPH, Skip.FAULTY, Skip.DISPUTED)
"""The reasons that somebody has to act on; the others are as expected."""


def run(running: Running) -> Finished:
    """Print the letters; see `Kind.run`."""
    settings, parameters = running.settings, running.parameters
    school = db.session.get(School, running.school_id) if running.school_id else None
    if school is None or services().settings_faults(settings):
        raise RefusedError("settings")
    only = _people_of(parameters.get("again"))
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


def _people_of(key: str | None) -> frozenset[uuid.UUID] | None:
    """Return the people of the print that is printed again; None for a first print.

    Raises:
        RefusedError: that print was purged.
    """
    if key is None:
        return None
    job = db.session.get(Job, uuid.UUID(key))
    if job is None:
        raise RefusedError("no_print")
    return uncollected_letters.accounts_of(job)


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
        stem = f"courriers-{downloads.of_class(class_name or _WITHOUT_CLASS)}-{today().isoformat()}"
        seen[stem] += 1
        yield NewFile(f"{stem}{f'-{seen[stem]}' if seen[stem] > 1 else ''}.pdf", downloads.PDF, pdf)


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


def problems_of(jobs: Iterable[Job]) -> dict[uuid.UUID, list[str]]:
    """Return, for each print, the sentences about letters that need an act of the school, with the names of people."""
    lists = {job.id: list(_lists(job)) for job in jobs}
    names = words.names({key for each in lists.values() for _, keys in each for key in keys})
    return {
        key: [sentence % {"names": words.listed(keys, names)} for sentence, keys in each] for key, each in lists.items()
    }


def _lists(job: Job) -> Iterator[tuple[str, list[uuid.UUID]]]:
    """Yield a sentence, with a place for the names, and the people whom it is about."""
    skipped = job.result.get("skipped", {})
    for skip in PROBLEMS:
        if skipped.get(skip):
            yield f"{words.SKIPS[skip]} : %(names)s.", [uuid.UUID(key) for key in skipped[skip]]


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


@dataclass(frozen=True)
class Row:
    """A print as the page shows it.

    `has_file` is whether the person may take a file; `again_url` is where it is printed again, if it is over.
    """

    job: Job
    by: str
    what: str
    layout: str
    state: str
    problems: list[str]
    files: Sequence[JobFile]
    has_file: bool
    again_url: str


@blueprint.get("/impressions")
@needs(Right.PRINT_CLASSES)
def show() -> Response:
    """Show the last prints: who asked, what, when, the problems, the file once."""
    jobs = asking.recent(PRINT, LETTER)
    by, made = asking.authors(jobs), files.made_by([job.id for job in jobs])
    names = words.names([UUID(job.parameters["account"]) for job in jobs if job.kind == LETTER.name])
    problems = problems_of(job for job in jobs if job.kind == PRINT.name)
    rows = [_row(job, by.get(job.staff_id, ""), names, problems.get(job.id, []), made.get(job.id, [])) for job in jobs]
    return make_response(render_template("desk/prints/impressions.html", rows=rows, again=PRINT.again))


def _row(job: Job, by: str, names: dict[UUID, str], problems: list[str], made: Sequence[JobFile]) -> Row:
    kind = PRINT if job.kind == PRINT.name else LETTER
    name = "" if kind is PRINT else names.get(UUID(job.parameters["account"]), gettext("Un compte"))
    return Row(
        job=job,
        by=by,
        what=name or title(job),
        layout=_layout(job, is_class=kind is PRINT),
        state=_state(job),
        problems=problems,
        files=made,
        has_file=asking.is_own(job) and any(file.is_waiting for file in made),
        again_url=kind.again_to(job) if kind.again_to and job.state.is_over else "",
    )


def _layout(job: Job, *, is_class: bool) -> Any:
    layout = gettext("Petit format") if job.parameters["slips"] else gettext("Lettres")
    return gettext("%(layout)s, par classe puis par nom", layout=layout) if is_class else layout


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
        if people and (started := _start(job, school.uai)):
            return see_other(url_for("jobs.show", key=started.id))
        form.form_errors.append(
            gettext("Une impression de ces courriers est déjà en cours. Attendez sa fin.")
            if people
            else gettext("Il n’y a personne à qui imprimer un courrier.")
        )
    return _again_page(job, form, people, skipped)


def _print_again(key: UUID) -> Job:
    """Return a print in scope, of which somebody got a letter; refuse the page otherwise."""
    job, kind = asking.get(key)
    if kind is not PRINT or not uncollected_letters.accounts_of(job):
        access.refuse(str(key))
    return job


def _start(job: Job, uai: str) -> Job | None:
    """Ask for the print, and return its job, also after a second tap; None if a colleague asked for it first."""
    parameters = {**job.parameters, "renew": True, "again": str(job.id)}
    lane = f"{PRINT.name} {uai} {job.id}"
    started = asking.start_alone(PRINT, parameters, lane)
    return started if started and asking.is_own(started) else None


def _again_page(
    job: Job, form: AgainForm, people: Sequence[Recipient], skipped: Sequence[Skipped], refusal: str = ""
) -> Response:
    names = words.names(uncollected_letters.accounts_of(job))
    shown = [entry for entry in people if entry.account_id in names]
    groups = getting_letters([(entry.class_name, names[entry.account_id]) for entry in shown])
    groups += skipped_people(skipped, names)
    if names:
        with unit_of_work():
            log.record(ClassListed(class_name=job.parameters["class"] or "", count=len(names)))
    page = render_template(
        "desk/prints/a_nouveau.html",
        job=job,
        what=title(job),
        by=asking.authors([job]).get(job.staff_id, ""),
        form=form,
        groups=groups,
        count=len(shown),
        without_pupil=len(uncollected_letters.accounts_of(job)) - len(people) - len(skipped),
        refusal=words.REFUSALS[refusal] if refusal else "",
    )
    return make_response(page)
