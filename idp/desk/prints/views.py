"""`/impressions`: the print jobs of the school."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, make_response, render_template, url_for
from flask_babel import gettext

from idp.desk import access, untaken
from idp.desk.access import Right, needs
from idp.desk.home import tiles
from idp.desk.home.tiles import Tile
from idp.desk.jobs import asking, files
from idp.desk.jobs.kinds import LETTER, PRINT
from idp.desk.jobs.models import Job, JobFile, State
from idp.desk.letter import words
from idp.desk.prints import work as prints
from idp.services import services

blueprint = Blueprint("prints", __name__)


@tiles.source(Right.PRINT_CLASSES)
def _untaken() -> Iterator[Tile]:
    school = access.post().school
    if school is not None:
        yield Tile(
            len(untaken.of_school(services().settings, school.id)),
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
    problems = prints.problems(job for job in jobs if job.kind == PRINT.name)
    rows = [_row(job, by.get(job.staff_id, ""), names, problems.get(job.id, []), made.get(job.id, [])) for job in jobs]
    return make_response(render_template("desk/prints/impressions.html", rows=rows, again=PRINT.again))


def _row(job: Job, by: str, names: dict[UUID, str], problems: list[str], made: Sequence[JobFile]) -> Row:
    kind = PRINT if job.kind == PRINT.name else LETTER
    name = "" if kind is PRINT else names.get(UUID(job.parameters["account"]), gettext("Un compte"))
    return Row(
        job=job,
        by=by,
        what=name or prints.title(job),
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
