"""Prints the letter of one person while the person waits: in the request, in less than two seconds.

The file is stored encrypted in the transaction of its secret, so that a kill leaves both or none.
"""

import uuid
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select

from idp.accounts.models import Account, School
from idp.accounts.passwords.hasher import Hasher, HasherBusyError
from idp.audit import log
from idp.audit.desk_events import IdentityChecked
from idp.clock import PARIS, now
from idp.config import Settings
from idp.db import db
from idp.desk import access, downloads
from idp.desk.jobs import asking, files
from idp.desk.jobs.files import NewFile
from idp.desk.jobs.kinds import LETTER
from idp.desk.jobs.models import Job
from idp.letters import printing, recipients
from idp.letters.printing import PrintOrder, Report
from idp.letters.recipients import PrintError, Skip
from idp.letters.render.pdf import LetterError, TooLongError, UnknownGlyphError
from idp.throttle import guard
from idp.throttle.guard import Wait
from idp.throttle.limits import FIRST_LETTERS

_AGAIN = timedelta(minutes=15)
_NEW_FOR = timedelta(days=30)
"""How long a first letter needs a fresh proof if an import from the desk opened the account."""


class RefusedError(Exception):
    """No letter is printed; `code` is a key of `words.REFUSALS`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class CounterLetter:
    """A letter to print: for whom, as a slip or as a page, and why an account that has been active gets it."""

    account: Account
    school: School
    as_slip: bool = False
    reason: str = ""


def refusal(account: Account, school: School) -> str:
    """Return why an account gets no letter from a school, as a key of `words.REFUSALS`; empty if it may get one."""
    try:
        recipients.check_account(account)
        recipients.from_school(account, school, None)
        recipients.check_school(school)
    except PrintError as refused:
        return str(refused.refusal or "fault")
    return ""


def needs_proof(account: Account) -> bool:
    """Return whether a letter needs a fresh proof: for some accounts (`_is_guarded`), or after many letters."""
    return _is_guarded(account) or guard.remaining_wait(FIRST_LETTERS, _own_count()) > 0


def _is_guarded(account: Account) -> bool:
    """Return whether the account has been active, or an import from the desk has just opened it."""
    return account.has_been_active or (account.is_from_desk and account.created_at > now() - _NEW_FOR)


def count_letter(account: Account) -> bool:
    """Count a letter that the person is about to print; return whether it needs a fresh proof first.

    Raises:
        RuntimeError: a unit of work is open.
    """
    if _is_guarded(account):
        return True
    if access.has_fresh_proof(access.person()):
        guard.clear(FIRST_LETTERS, _own_count())
        return False
    return isinstance(guard.take(FIRST_LETTERS, _own_count()), Wait)


def _own_count() -> str:
    """Return the subject of the count: the person, in all sessions and schools."""
    return str(access.person().staff.id)


def print_letter(settings: Settings, hasher: Hasher, letter: CounterLetter) -> Job:
    """Print a letter, and return the job that hands out its file.

    Raises:
        RefusedError: nothing was printed, and no secret changed.
    """
    account, school = letter.account, letter.school
    order = PrintOrder(uai=school.uai, usernames=[account.username], reason=letter.reason, as_slips=letter.as_slip)
    jobs: list[Job] = []

    def keep(pdfs: Sequence[tuple[str, bytes]], report: Report) -> None:
        parameters = {"account": str(account.id), "slips": letter.as_slip}
        jobs.append(asking.done_at_once(LETTER, parameters, {"letters": report.printed}))
        for _, pdf in pdfs:
            files.store(settings, jobs[-1].id, NewFile(_file_name(), downloads.PDF, pdf))
        if letter.reason:
            log.record(IdentityChecked(account_id=account.id, reason=letter.reason))

    try:
        printing.print_in_memory(settings, hasher, order, keep)
    except PrintError as refused:
        raise RefusedError(str(refused.refusal or "fault")) from refused
    except TooLongError as fault:
        raise RefusedError(Skip.TOO_LONG) from fault
    except UnknownGlyphError as fault:
        raise RefusedError(Skip.UNKNOWN_GLYPH) from fault
    except LetterError as fault:
        raise RefusedError("faulty") from fault
    except (HasherBusyError, BrokenProcessPool) as busy:
        raise RefusedError("busy") from busy
    return jobs[-1]


def _file_name() -> str:
    """Return the name of a letter's file: with the day and the hour in Paris, to the second, and without a name."""
    return f"courrier-{now().astimezone(PARIS):%Y-%m-%d-%Hh%Mm%S}.pdf"


def last_printed(account_id: uuid.UUID) -> Job | None:
    """Return the letter that the person has just printed for the account: the form was sent twice."""
    jobs = db.session.scalars(
        select(Job)
        .where(
            Job.kind == LETTER.name,
            access.in_this_post(Job.role_id),
            Job.created_at > now() - _AGAIN,
        )
        .order_by(Job.created_at.desc())
    )
    return next((job for job in jobs if job.parameters["account"] == str(account_id)), None)
