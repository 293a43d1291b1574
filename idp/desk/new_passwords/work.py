"""The work of the job `passwords`, and the numbers that are shown before it.

Before the first batch, the job is marked final and goes to its end: half a school is no state to stay in. After a kill
it runs again; passwords that are blocked already are passed over. Each batch is stored with the sum of all.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple

from flask_babel import gettext
from sqlalchemy import case, func, select

from idp.accounts import directory
from idp.accounts.models import Account, Child, Guardianship, School
from idp.audit import log
from idp.audit.desk_events import PasswordsForced
from idp.db import db
from idp.desk import access
from idp.desk.jobs.models import Job, State
from idp.desk.jobs.work import Finished, RefusedError, Running
from idp.desk.statistics import tables
from idp.operations import blocked_passwords
from idp.operations.blocked_passwords import Blocked

_PERCENT = 100


class Concerned(NamedTuple):
    """How many accounts' passwords would be blocked, and how many of them have no confirmed address."""

    accounts: int
    without_email: int


def concerned(school: School) -> Concerned:
    """Return the numbers of a school."""
    without_email = case((Account.email.is_(None), Account.id))
    row = db.session.execute(
        select(func.count(Account.id.distinct()), func.count(without_email.distinct()))
        .select_from(Child)
        .join(Guardianship, Guardianship.child_id == Child.id)
        .join(Account, Account.id == Guardianship.account_id)
        .where(
            Child.school_id == school.id,
            directory.concerns_its_school(),
            Account.activated_at.is_not(None),
            Account.password_blocked_at.is_(None),
        )
    ).one()
    return Concerned(row[0], row[1])


def run(running: Running) -> Finished:
    """Block the passwords; see `Kind.run`."""
    school = db.session.scalar(select(School).where(School.uai == running.parameters["school"]))
    if school is None:
        raise RefusedError("fault")
    total = Blocked(**running.result)
    running.begin_writing(asdict(total))

    def note(batch: Blocked) -> None:
        running.keep(asdict(total + batch))

    for batch in blocked_passwords.block(school, note):
        total += batch
        running.progress(_PERCENT * total.blocked // max(total.blocked, running.parameters["count"], 1), _PERCENT)
    return Finished(asdict(total))


def record(job: Job) -> None:
    """Record how many passwords a job blocked until its end, whatever the end; see `Kind.record`."""
    if count := Blocked(**job.result).blocked:
        log.record(PasswordsForced(uai=job.parameters["school"], count=count))


def describe(job: Job) -> Sequence[str]:
    """Return how many passwords were blocked."""
    if job.state is State.CANCELLED:
        return [gettext("Aucun mot de passe n’a changé.")]
    blocked = Blocked(**job.result)
    number = tables.number
    sentences = [gettext("Familles qui choisiront un nouveau mot de passe : %(n)s.", n=number(blocked.blocked))]
    if job.refusal:
        stopped = gettext("Le travail s’est arrêté. Demandez-le de nouveau : il reprend où il s’est arrêté.")
        sentences.insert(0, stopped)
    if blocked.without_address or not access.own_spec().is_at_school:
        letters = number(blocked.without_address)
        sentences.append(gettext("Sans adresse mail confirmée, il leur faut un nouveau courrier : %(n)s.", n=letters))
    return [*sentences, gettext("Appareils déconnectés : %(n)s.", n=number(blocked.sessions_ended))]
