"""The functions of the job `letter`. The request has printed the letter, so that no work is left."""

import uuid
from collections.abc import Sequence

from flask import url_for
from flask_babel import gettext

from idp.desk.jobs import files
from idp.desk.jobs.kinds import Step
from idp.desk.jobs.models import Job
from idp.desk.jobs.work import Finished, RefusedError, Running
from idp.desk.letter import links, words


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
    return links.letter_url(uuid.UUID(job.parameters["account"]))


def back(job: Job) -> Step:
    """Return the way back to the page of the account."""
    key = uuid.UUID(job.parameters["account"])
    label = gettext("Revenir au compte de %(name)s", name=words.name(key))
    return Step(label, url_for("accounts.show", account=key))
