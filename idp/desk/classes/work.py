"""The work of the job `reminders`: a new link for people whose mail address waits.

After a kill it runs again; the limit of one reminder a week and account skips those who have theirs.
"""

from collections.abc import Sequence
from dataclasses import asdict

from flask_babel import gettext

from idp.accounts.models import School
from idp.db import db
from idp.desk.jobs.models import Job, State
from idp.desk.jobs.work import Finished, RefusedError, Running
from idp.letters import class_lists
from idp.letters.class_lists import Reminded


def run(running: Running) -> Finished:
    """Send the reminders; see `Kind.run`."""
    school = db.session.get(School, running.school_id) if running.school_id else None
    if school is None:
        raise RefusedError("fault")
    people = [person.account_id for person in class_lists.waiting(school, running.parameters["class"])]

    def progress(reminded: Reminded) -> None:
        running.tick(sum(asdict(reminded).values()), len(people))

    reminded = class_lists.remind(running.settings, people, progress)
    return Finished(asdict(reminded))


def describe(job: Job) -> Sequence[str]:
    """Return how many reminders were sent."""
    if job.state is State.CANCELLED:
        return [gettext("Les mails déjà partis restent partis ; les autres ne partent pas.")]
    if job.refusal:
        return [gettext("Les rappels se sont arrêtés. Vous pouvez les relancer : personne n’en reçoit deux.")]
    result = job.result
    sentences = [
        gettext("Mails de rappel envoyés : %(n)s.", n=result.get("sent", 0)),
        gettext("Déjà rappelés depuis moins d’une semaine : %(n)s.", n=result.get("too_soon", 0)),
        gettext(
            "Un autre mail vient de partir à la même adresse : %(n)s. Réessayez plus tard, après une minute au moins.",
            n=result.get("later", 0),
        ),
        gettext("Plus rien à confirmer : %(n)s.", n=result.get("nothing", 0)),
    ]
    return [
        sentences[0],
        *(s for s, key in zip(sentences[1:], ("too_soon", "later", "nothing"), strict=True) if result.get(key)),
    ]
