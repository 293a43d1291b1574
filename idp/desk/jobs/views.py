"""`/travaux/…`: the progress of a job, its result, its file once.

A browser takes a file in two steps: the form leads to a page, and this page begins the download. A form that answers
with the file itself would leave the former page on the screen, which still offers the file. The form gives a ticket,
and the download needs it: a link of another site, or a browser that loads links in advance, cannot spend a file that is
handed out once.
"""

import uuid

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext

from idp.desk import access, naming
from idp.desk.access import needs
from idp.desk.jobs import files, lifecycle
from idp.desk.jobs.models import Job, State
from idp.desk.kept_forms import keeps
from idp.opaque import InvalidValueError, Signer, signer
from idp.services import services
from idp.web.redirects import render_page, see_other

blueprint = Blueprint("jobs", __name__)
_PAGE_SECONDS = 3
_TICKET_SECONDS = 120


@blueprint.get("/travaux/<uuid:key>")
@needs()
def show(key: uuid.UUID) -> Response:
    """Show the progress of a job, or what it did; its person gets the file."""
    job, kind = lifecycle.get(key)
    if kind.next_page and job.state is State.DONE:
        return see_other(url_for(kind.next_page, key=key))
    return render_page(
        "desk/jobs/travail.html",
        job=job,
        kind=kind,
        sentence=_sentence(job),
        steps=kind.steps(job) if kind.steps and job.state.is_over else [],
        sentences=kind.describe(job) if job.state.is_over else [],
        files=files.made(job.id),
        by=lifecycle.authors([job]).get(job.staff_id, ""),
        is_own=lifecycle.is_own(job),
        may_cancel=not job.state.is_over and lifecycle.may_cancel(job),
        again=kind.again,
        again_url=kind.again_to(job) if kind.again_to else "",
        back=kind.back(job),
        seconds=0 if job.state.is_over else _PAGE_SECONDS,
    )


def _sentence(job: Job) -> str:
    if job.is_final and not job.state.is_over:
        return str(
            gettext(
                "En cours : le travail va à son terme et ne s’annule plus. Vous pouvez quitter cette page et y revenir."
            )
        )
    sentences = {
        State.WAITING: gettext("En attente. Vous pouvez quitter cette page et y revenir."),
        State.RUNNING: gettext("En cours. Vous pouvez quitter cette page et y revenir."),
        State.DONE: gettext("Terminé."),
        State.FAILED: gettext("Arrêté avant la fin."),
        State.CANCELLED: gettext("Annulé."),
    }
    if job.state is State.RUNNING and job.cancel_asked_at is not None:
        return str(gettext("L’annulation est demandée : le travail s’arrête à la prochaine étape."))
    return str(sentences[job.state])


@blueprint.post("/travaux/<uuid:key>/annuler")
@needs()
@keeps()
def cancel(key: uuid.UUID) -> Response:
    """Cancel a job of the post or of its team; refuse the page to others."""
    job, _ = lifecycle.get(key)
    if not lifecycle.may_cancel(job):
        access.refuse(str(key))
    lifecycle.cancel(job)
    return see_other(url_for("jobs.show", key=key))


@blueprint.post("/travaux/<uuid:key>/fichiers/<uuid:file>")
@needs()
@keeps()
def take(key: uuid.UUID, file: uuid.UUID) -> Response:
    """Lead a browser to the page that hands out a file; hand it to a program at once, which shows no page."""
    lifecycle.get(key)
    if "text/html" not in request.headers.get("Accept", ""):
        return _content(key, file)
    ticket = _tickets().dumps(_claim(file))
    return see_other(url_for("jobs.hand_out", key=key, file=file, billet=ticket))


@blueprint.get("/travaux/<uuid:key>/fichiers/<uuid:file>")
@needs()
def hand_out(key: uuid.UUID, file: uuid.UUID) -> Response:
    """Show the page that begins the download of a file; without a ticket or a file that waits, show the job."""
    job, kind = lifecycle.get(key)
    ticket = request.args.get("billet", "")
    row = next((row for row in files.made(job.id) if row.id == file), None)
    if row is None or not (lifecycle.is_own(job) and row.is_waiting and _is_valid(ticket, file)):
        return see_other(url_for("jobs.show", key=job.id))
    return render_page("desk/jobs/remise.html", job=job, kind=kind, file=row, ticket=ticket)


@blueprint.get("/travaux/<uuid:key>/fichiers/<uuid:file>/contenu")
@needs()
def content(key: uuid.UUID, file: uuid.UUID) -> Response:
    """Hand out a file, once, to the browser that has a ticket for it."""
    ticket = request.args.get("billet", "")
    if request.method == "HEAD" or not _is_valid(ticket, file):
        return see_other(url_for("jobs.show", key=lifecycle.get(key)[0].id))
    return _content(key, file)


def _content(key: uuid.UUID, file: uuid.UUID) -> Response:
    """Return the content of a file, once, to the post that asked for the job; otherwise lead to the job's page."""
    job, _ = lifecycle.get(key)
    taken = files.take(services().settings, job.id, file)
    if taken is None or not taken.content:
        return see_other(url_for("jobs.show", key=job.id))
    return naming.as_download(taken.content, taken.name, taken.media_type)


def _tickets() -> Signer:
    return signer(services().settings.secrets, "desk file ticket")


def _claim(file: uuid.UUID) -> list[str]:
    """Return what a ticket says: this person asked for a file. It is no proof that the person may take it."""
    return [str(file), str(access.person().staff.id)]


def _is_valid(ticket: str, file: uuid.UUID) -> bool:
    try:
        claim, _ = _tickets().loads(ticket, _TICKET_SECONDS)
    except InvalidValueError:
        return False
    return bool(claim == _claim(file))
