"""`/travaux/…`: the progress of a job, its result, its file once."""

import uuid

from flask import Blueprint, Response, make_response, render_template, url_for
from flask_babel import gettext

from idp.desk import access, downloads
from idp.desk.access import needs
from idp.desk.jobs import asking, files
from idp.desk.jobs.models import Job, State
from idp.desk.kept_forms.keeping import keeps
from idp.services import services
from idp.web.redirects import see_other

blueprint = Blueprint("jobs", __name__)
_PAGE_SECONDS = 3


@blueprint.get("/travaux/<uuid:key>")
@needs()
def show(key: uuid.UUID) -> Response:
    """Show the progress of a job, or what it did; its person gets the file."""
    job, kind = asking.get(key)
    if kind.next_page and job.state is State.DONE:
        return see_other(url_for(kind.next_page, key=key))
    is_own = job.staff_id == access.person().staff.id
    page = render_template(
        "desk/jobs/travail.html",
        job=job,
        kind=kind,
        sentence=_sentence(job),
        sentences=kind.describe(job) if job.state.is_over else [],
        files=files.made(job.id) if is_own else [],
        minutes=int(files.LIFETIME.total_seconds()) // 60,
        is_own=is_own,
        back=kind.back_to(job) if kind.back_to else url_for(kind.back),
        seconds=0 if job.state.is_over else _PAGE_SECONDS,
    )
    return make_response(page)


def _sentence(job: Job) -> str:
    """Return where the job stands, in words."""
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
    """Cancel a job."""
    asking.cancel(asking.get(key)[0])
    return see_other(url_for("jobs.show", key=key))


@blueprint.post("/travaux/<uuid:key>/fichiers/<uuid:file>")
@needs()
@keeps()
def take(key: uuid.UUID, file: uuid.UUID) -> Response:
    """Hand out a file, once, to the person who asked for the job."""
    job, _ = asking.get(key)
    taken = files.take(services().settings, job.id, file, access.person().staff.id)
    if taken is None or not taken.content:
        return see_other(url_for("jobs.show", key=job.id))
    return downloads.as_download(taken.content, taken.name, taken.media_type)
