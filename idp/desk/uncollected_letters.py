"""The letters that never were on paper: nobody took their file, which is erased."""

import uuid
from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import ColumnElement, exists, select, true

from idp.accounts.models import Account
from idp.clock import now
from idp.config import Settings
from idp.db import db, one_of
from idp.desk.jobs.kinds import LETTER, PRINT
from idp.desk.jobs.models import Job, JobFile


def accounts_of(job: Job) -> frozenset[uuid.UUID]:
    """Return the accounts that got a letter of a job: one at the counter, or a print."""
    keys = [job.parameters["account"]] if job.kind == LETTER.name else job.result.get("people", [])
    return frozenset(map(uuid.UUID, keys))


def of_school(settings: Settings, school_id: uuid.UUID) -> set[uuid.UUID]:
    """Return the accounts whose valid letter is of this school and never was on paper."""
    return _uncollected(settings, Job.school_id == school_id, true())


def among(settings: Settings, accounts: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of some accounts whose valid letter, of whichever school, never was on paper."""
    chosen = one_of(Account.id, sorted(accounts))
    schools = select(Account.letter_school_id).where(chosen, _has_valid_letter())
    return _uncollected(settings, Job.school_id.in_(schools), chosen)


def _uncollected(settings: Settings, of_jobs: ColumnElement[bool], of_accounts: ColumnElement[bool]) -> set[uuid.UUID]:
    """Return the accounts whose valid letter was made by a job whose files are all erased, and none was taken.

    A letter that was drawn after the end of the job, or by another school, is another one.
    """
    lifetime = timedelta(days=settings.provisional_days)
    made = (JobFile.job_id == Job.id) & ~JobFile.is_upload & ~JobFile.is_for_pages
    is_there = made & (JobFile.taken_at.is_not(None) | (JobFile.expires_at > now()))
    jobs = select(Job).where(
        of_jobs,
        Job.kind.in_([LETTER.name, PRINT.name]),
        Job.finished_at > now() - lifetime,
        exists().where(made),
        ~exists().where(is_there),
    )
    rows = db.session.scalars(jobs.order_by(Job.finished_at))
    ends = {(job.school_id, key): job.finished_at for job in rows if job.finished_at for key in accounts_of(job)}
    if not ends:
        return set()
    letters = select(Account.id, Account.letter_school_id, Account.provisional_expires_at).where(
        of_accounts, one_of(Account.id, sorted({key for _, key in ends})), _has_valid_letter()
    )
    return {
        key
        for key, school, until in db.session.execute(letters)
        if until and (school, key) in ends and until <= ends[school, key] + lifetime
    }


def _has_valid_letter() -> ColumnElement[bool]:
    return (
        Account.provisional_hash.is_not(None)
        & Account.activated_at.is_(None)
        & Account.disabled_at.is_(None)
        & (Account.provisional_expires_at > now())
    )
