"""Says who may import which files: the only home of this rule.

The page of a check, the list of the files that wait for the direction and the import before it writes ask `decide`.
What a role accepts, and the role that imports in its place, are in the table of the roles (`access.roles`).

The secretary has limits of how many people and ties may leave. A guardian whose key a file gives to another person
leaves too, because the account closes. What left by the imports of the last days counts with what a file would remove,
by the files of anybody: otherwise ten files, each of which removes a little, would remove everybody.
"""

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, func, or_, select

from idp.accounts.models import Account, Child, Guardianship, School, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clock import now, today
from idp.config import Settings
from idp.db import db
from idp.desk import access, ties
from idp.desk.access import Right
from idp.desk.jobs.models import Job
from idp.desk.staff.models import Role
from idp.rostering.files.archives import Limits
from idp.rostering.imports import ALL_MISTAKES, ImportResult, Terms
from idp.rostering.reconcile import counts
from idp.rostering.reconcile.counts import BOTH_PARENTS, ties_of_staying
from idp.rostering.records import Form, Format

LIMITS = Limits(total=512 << 20, ratio=200, entries=1000)
MOST_REFUSED = 10_000
"""How many records of the files may be refused: more of them are no file of families, and each costs time."""
CROWDED = "crowded"  # the only mistake that speaks of one person


SENT = "sent"
"""The key of a check's result under which the sentence is kept with which the secretary sent it to the direction."""


DECLINED = "declined"
"""The key of a check's result under which the direction's reason is kept, if it did not import the files."""


WINDOW = timedelta(days=7)
_PERCENT = 100
MOST_PUPILS = 5  # percent of the school's pupils that may leave by files of the secretary
_ONE_PUPIL = 1  # one pupil may leave the smallest school in the window, with both parents


class Exceeded(NamedTuple):
    """A limit of the secretary, in percent, that files exceed: how many of `present` would leave in the window."""

    name: str
    leaving: int
    present: int
    percent: float


class Decision(enum.Enum):
    """Who imports files."""

    IMPORT = enum.auto()  # the role
    AGREE = enum.auto()  # the role, with a typed word: the files look like a mistake
    HAND_OVER = enum.auto()  # the role that imports in its place, `RoleSpec.hands_files_to`
    LEAVE = enum.auto()  # neither of them: they are left to the académie
    REFUSE = enum.auto()  # nobody: the files cannot be imported, or not any more


class Verdict(NamedTuple):
    """What a role may do with files; if it does not import them, why: a code of `words`, and the exceeded limits."""

    decision: Decision
    reason: str = ""
    limits: Sequence[Exceeded] = ()

    @property
    def imports(self) -> bool:
        """Whether the role imports the files."""
        return self.decision in {Decision.IMPORT, Decision.AGREE}


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a check finds, or an import before it writes: who leaves (`leaving`), and what the files look like.

    `refused` is why nobody can import the files, a code of `words`. For an import, `shown` is how many people would
    leave by the check that its person read.
    """

    settings: Settings
    school: str
    leaving: Mapping[str, Sequence[int]]
    mistakes: Collection[str] = ()
    refused: str = ""
    shown: Mapping[str, int] = field(default_factory=dict)


def findings(settings: Settings, check: Job) -> Findings:
    """Return what a check found."""
    summary = check.result
    return Findings(
        settings=settings,
        school=check.parameters["school"],
        leaving=summary["leaving"],
        mistakes=summary["mistakes"],
        refused=summary["refused"],
    )


def of_author(settings: Settings, check: Job) -> Verdict:
    """Return what the role that asked for a check may do with its files."""
    return decide(Role(check.parameters["role"]), findings(settings, check))


def decide(role: Role, check: Findings) -> Verdict:
    """Return what a role may do with the files of a check."""
    if check.refused:
        return Verdict(Decision.REFUSE, check.refused)
    if any(check.leaving[name][0] > most for name, most in check.shown.items()):
        return Verdict(Decision.REFUSE, "changed_since")
    if Right.IMPORT_FILES not in access.spec(role).rights:
        return Verdict(Decision.LEAVE, "for_the_academy")
    head = access.spec(role).hands_files_to
    limits = exceeded(check.settings, check.school, check.leaving) if head else ()
    unacceptable = set(check.mistakes) - _acceptable(role)
    if not (limits or unacceptable):
        return Verdict(Decision.AGREE if check.mistakes else Decision.IMPORT)
    if head and decide(head, check).imports:
        return Verdict(Decision.HAND_OVER, "too_many_leave" if limits else "for_the_head", limits)
    return Verdict(Decision.LEAVE, "for_the_academy", limits)


def leaving(result: ImportResult) -> dict[str, tuple[int, int]]:
    """Return how many pupils and guardians leave by an import, and how many are there before it.

    The same of the ties between a guardian and a pupil who both stay.
    """
    pupils, accounts = result.counts["students"], result.totals["accounts"]
    present = accounts["total"] - accounts["created"] + accounts["disabled"]
    return {
        "students": (pupils.left, counts.enrolled(result.staging)),
        "guardians": (accounts["disabled"], present),
        "ties": ties_of_staying(result.staging),
    }


def exceeded(settings: Settings, uai: str, numbers: Mapping[str, Sequence[int]]) -> list[Exceeded]:
    """Return the limits of the secretary of a school that the people who leave would exceed; see `leaving`."""
    since, percent = now() - WINDOW, settings.roster_leaving_percent
    limits = (
        ("students", MOST_PUPILS, _ONE_PUPIL, _pupils_left),
        ("guardians", percent, BOTH_PARENTS, _guardians_left),
        ("ties", percent, BOTH_PARENTS, _ties_ended),
    )
    rows = []
    for name, most, always, count_left in limits:
        leave, present = numbers.get(name, (0, 0))
        before = count_left(uai, since) if leave else 0
        if leave and leave + before > always and (leave + before) * _PERCENT > most * (present + before):
            rows.append(Exceeded(name, leave + before, present + before, most))
    return rows


def _count(counted: ColumnElement[int], uai: str, *conditions: ColumnElement[bool]) -> int:
    of_ties = select(counted).select_from(Guardianship)
    of_accounts = of_ties.join(Account, Account.id == Guardianship.account_id)
    of_schools = of_accounts.join(Child, Child.id == Guardianship.child_id).join(School, School.id == Child.school_id)
    return db.session.scalar(of_schools.where(School.uai == uai, *conditions)) or 0


def _pupils_left(uai: str, since: datetime) -> int:
    """Return how many pupils with a guardian left; with a pupil who had left before the first file, nobody goes."""
    return _count(func.count(Child.id.distinct()), uai, Child.left_at > since)


def _guardians_left(uai: str, since: datetime) -> int:
    """Return how many accounts of the school closed: the last child left, or another person got the key.

    The notice to the school is the trace of the latter.
    """
    closed = select(func.count(Account.id.distinct())).select_from(SchoolNotice)
    of_schools = closed.join(School, School.id == SchoolNotice.school_id)
    of_accounts = of_schools.join(Account, Account.id == SchoolNotice.account_id)
    notice = SchoolNotice.kind == Kind.PERSON_REPLACED.value, SchoolNotice.created_at > since
    of_keys = of_accounts.where(School.uai == uai, *notice, ties.are_replaced(), Account.disabled_at > since)
    left = and_(Account.has_left, Account.disabled_at > since)
    return _count(func.count(Account.id.distinct()), uai, left) + (db.session.scalar(of_keys) or 0)


def _ties_ended(uai: str, since: datetime) -> int:
    stays = and_(Child.left_at.is_(None), or_(Account.disabled_at.is_(None), Account.disabled_at <= since))
    return _count(func.count(), uai, Guardianship.ended_at > since, stays)


def _acceptable(role: Role) -> frozenset[str]:
    accepted = access.spec(role).accepts
    return ALL_MISTAKES if accepted is None else accepted


def accepted(role: Role, mistakes: Collection[str]) -> frozenset[str]:
    """Return the mistakes that an import accepts: those that its check told, and one that is not told without names."""
    untold = () if reads_names(role) else (CROWDED,)
    return _acceptable(role) & {*mistakes, *untold}


def reads_names(role: Role) -> bool:
    """Return whether a role reads what files change, by name."""
    return Right.READ_FAMILIES in access.spec(role).rights


def told_refusal(role: Role, refusal: str, *, refused: int, read: int) -> str:
    """Return what a role learns of why files cannot be imported.

    If the comparison refused all people of a small file, this would tell a role without names something of them: the
    check tells nothing, and only the import, which is a step further, ends without a change. Lines that cannot be read
    are no secret.
    """
    return "" if refusal == "all_refused" and refused < read and not reads_names(role) else refusal


def form(parameters: Mapping[str, Any], *, writes: bool) -> Form:
    """Return how the files of a job are read, to import or to check them; a school's staff may give its own alone."""
    uai = parameters["school"] or None
    is_bound = access.spec(Role(parameters["role"])).is_at_school
    return Form(today=today(), school=uai, refuses_others=is_bound, hides_others=not writes, most_refused=MOST_REFUSED)


def terms(role: Role, mistakes: Collection[str], agree: Callable[[ImportResult], None] = lambda _result: None) -> Terms:
    """Return the terms of a check or an import that accepts `mistakes`."""
    is_at_school = access.spec(role).is_at_school
    formats = frozenset(format_ for format_ in Format if not (is_at_school and format_.facts.is_aaf))
    return Terms(accepted=frozenset(mistakes), limits=LIMITS, formats=formats, agree=agree)
