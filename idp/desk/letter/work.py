"""The functions of the job `letter` (`job.py`). The request has printed the letter, so that no work is left."""

import uuid
from collections.abc import Sequence

from flask import url_for
from flask_babel import gettext

from idp.desk.jobs.models import Job
from idp.desk.jobs.work import Finished, RefusedError, Running
from idp.desk.letter import links, words


def run(_running: Running) -> Finished:
    """Refuse: no such job waits for the worker."""
    raise RefusedError("fault")


def describe(job: Job) -> Sequence[str]:
    """Return whose letter it is, and what to do with it."""
    key = uuid.UUID(job.parameters["account"])
    name = words.name(key)
    sentences = [
        gettext("Le courrier de %(name)s est prêt. Ce qui ouvrait le compte avant ne marche plus.", name=name),
        gettext("Prenez le fichier, imprimez-le et remettez le papier en main propre."),
    ]
    if job.result.get("cut"):
        sentences.append(gettext("L’adresse postale est trop longue : il en manque une partie sur le papier."))
    return sentences


def again(job: Job) -> str:
    """Return the URL at which the letter is printed again, with another code."""
    return links.letter_url(uuid.UUID(job.parameters["account"]))


def back(job: Job) -> str:
    """Return the URL of the page of the account."""
    return url_for("accounts.show", account=uuid.UUID(job.parameters["account"]))
