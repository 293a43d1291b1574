"""The work of the job `print`: the letters of a class or of a school.

All secrets and the encrypted files are stored in one transaction, together with the end of the job: after a kill or a
cancellation before it, no secret has changed and the job is done again or not at all; after it, the job is over.
"""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from flask import url_for
from flask_babel import gettext

from idp.accounts.models import School
from idp.accounts.passwords.hasher import HasherBusyError
from idp.clock import today
from idp.db import db
from idp.desk import downloads, naming, untaken
from idp.desk.jobs.files import NewFile
from idp.desk.jobs.models import Job, State
from idp.desk.jobs.work import BusyError, Finished, RefusedError, Running
from idp.desk.letter import words
from idp.letters import printing
from idp.letters.printing import PrintOrder, Report
from idp.letters.recipients import PrintError, Skip
from idp.letters.render.pdf import LetterError
from idp.services import services

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
        unprinted=untaken.of_school(settings, school.id),
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
    return untaken.accounts_of(job)


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


def again(job: Job) -> str:
    """Return the URL at which the letters of a job are printed again; that of its class if it printed none."""
    if job.result.get("people"):
        return url_for("prints.again", key=job.id)
    chosen: dict[str, Any] = naming.class_query(job.parameters["class"])
    return url_for("classes.letters", **chosen)


def problems(jobs: Iterable[Job]) -> dict[uuid.UUID, list[str]]:
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
    return [first, *problems([job])[job.id], *others]
