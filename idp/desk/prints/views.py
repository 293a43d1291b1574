"""`/impressions`: the print jobs of the school."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, make_response, render_template, url_for
from flask_babel import gettext
from sqlalchemy import select

from idp.db import db
from idp.desk import access, naming
from idp.desk.access import Right, needs
from idp.desk.jobs import asking, files
from idp.desk.jobs.models import Job, State
from idp.desk.letter import links, words
from idp.desk.letter.job import KIND as LETTER
from idp.desk.prints import work as prints
from idp.desk.prints.job import KIND as PRINT
from idp.desk.staff.models import StaffAccount

blueprint = Blueprint("prints", __name__)


@dataclass(frozen=True)
class Row:
    """A print as the page shows it; `renew_url` is where it is printed again, empty for one that is not over."""

    job: Job
    by: str
    what: str
    layout: str
    state: str
    problems: list[str]
    has_file: bool
    renew_url: str


@blueprint.get("/impressions")
@needs(Right.PRINT_CLASSES)
def show() -> Response:
    """Show the last prints: who asked, what, when, the problems, the file once."""
    jobs = asking.recent(PRINT, LETTER)
    authors = select(StaffAccount.id, StaffAccount.name).where(StaffAccount.id.in_({job.staff_id for job in jobs}))
    by = {row.id: row.name for row in db.session.execute(authors)}
    names = words.names([UUID(job.parameters["account"]) for job in jobs if job.kind == LETTER.name])
    problems = prints.problems(job for job in jobs if job.kind == PRINT.name)
    own = files.waiting([job.id for job in jobs if job.staff_id == access.person().staff.id])
    rows = [
        _row(job, by.get(job.staff_id, ""), names, problems.get(job.id, []), has_file=job.id in own) for job in jobs
    ]
    return make_response(render_template("desk/prints/impressions.html", rows=rows))


def _row(job: Job, by: str, names: dict[UUID, str], problems: list[str], *, has_file: bool) -> Row:
    is_class = job.kind == PRINT.name
    key = None if is_class else UUID(job.parameters["account"])
    return Row(
        job=job,
        by=by,
        what=prints.title(job) if key is None else names.get(key, gettext("Un compte")),
        layout=_layout(job, is_class=is_class),
        state=_state(job),
        problems=problems,
        has_file=has_file,
        renew_url=_renew_url(job, key) if job.state.is_over else "",
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


def _renew_url(job: Job, key: UUID | None) -> str:
    if key is not None:
        return links.letter_url(key)
    chosen: dict[str, Any] = naming.class_query(job.parameters["class"])
    return url_for("classes.letters", renouveler="1", **chosen)
