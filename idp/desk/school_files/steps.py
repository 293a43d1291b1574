"""What a person does after an import: print letters of new accounts, see who waits for the head, and the problems."""

import uuid
from collections.abc import Sequence

from flask import url_for
from flask_babel import gettext

from idp.db import db
from idp.desk import access
from idp.desk.access import Right
from idp.desk.jobs.kinds import Step
from idp.desk.jobs.models import Job, State
from idp.desk.school_files import history, words
from idp.rostering.models import ImportBatch
from idp.rostering.reconcile.told.difference import Kind


def after_import(job: Job) -> Sequence[Step]:
    """Return the steps after an import, the likeliest first."""
    steps = []
    counts = job.result.get("counts", {})  # before the end, what the import was going to do
    if job.state is State.DONE and words.new_accounts(counts) and access.may(Right.PRINT_CLASSES):
        steps.append(Step(gettext("Imprimer les courriers"), url_for("classes.letters", tout="1")))
    waiting = counts.get("waiting", {}).get("people", 0)
    if job.state is State.DONE and waiting and access.may(Right.REOPEN):
        steps.append(Step(gettext("Voir les signalements"), url_for("notices.show")))
    if batch := job.result.get("batch"):
        past = db.session.get(ImportBatch, uuid.UUID(batch))
        if past and (problems := history.new_problems(past)):
            label = gettext("Voir les problèmes (%(n)s)", n=problems)
            steps.append(Step(label, url_for("files.problems", key=past.id)))
        elif past and history.new_problems(past, Kind.DOUBT):
            steps.append(Step(gettext("Voir ce qui est à vérifier"), url_for("files.problems", key=past.id)))
    return [*steps, Step(gettext("Revenir aux fichiers"), url_for("files.show"))]
