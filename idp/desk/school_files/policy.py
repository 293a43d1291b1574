"""Says who may import which files: the only home of this rule.

The page of a check, the list of the files that wait for the direction and the import before it writes ask `decide`.
What a role accepts, and the role that imports in its place, are in the table of the roles (`access.roles`).
"""

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from idp.clock import today
from idp.config import Settings
from idp.desk import access
from idp.desk.access import Right
from idp.desk.jobs.models import Job
from idp.desk.school_files import leaving
from idp.desk.school_files.leaving import Exceeded
from idp.desk.staff.models import Role
from idp.rostering.files.archives import Limits
from idp.rostering.imports import ALL_MISTAKES, ImportResult, Terms
from idp.rostering.records import Form, Format

LIMITS = Limits(total=512 << 20, ratio=200, entries=1000)
"""How much the files of a school may unpack to."""
MOST_REFUSED = 10_000
"""How many records of the files may be refused: more of them are no file of families, and each costs time."""
CROWDED = "crowded"
"""The only mistake that speaks of one person."""


class Decision(enum.Enum):
    """Who imports files."""

    IMPORT = enum.auto()
    """The role."""
    AGREE = enum.auto()
    """The role, with a typed word: the files look like a mistake."""
    HAND_OVER = enum.auto()
    """The role that imports in its place, `RoleSpec.hands_files_to`."""
    LEAVE = enum.auto()
    """Neither of them: they are left to the académie."""
    REFUSE = enum.auto()
    """Nobody: the files cannot be imported, or not any more."""


class Verdict(NamedTuple):
    """What a role may do with files.

    Attributes:
        decision: who imports them.
        reason: why the role does not: a code of `words`; empty if it does.
        limits: the limits of people who leave that the role would exceed.
    """

    decision: Decision
    reason: str = ""
    limits: Sequence[Exceeded] = ()

    @property
    def imports(self) -> bool:
        """Whether the role imports the files."""
        return self.decision in {Decision.IMPORT, Decision.AGREE}


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a check finds, or an import before it writes.

    Attributes:
        settings: for how many guardians one import may remove without a question.
        school: the UAI of the school of the files.
        leaving: who leaves, as `leaving.numbers` returns it.
        mistakes: the codes of what the files look like.
        refused: why nobody can import the files: a code of `words`; empty if they can be imported.
        shown: for an import, how many people would leave by the check that its person read.
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


def decide(role: Role, check: Findings) -> Verdict:
    """Return what a role may do with the files of a check."""
    if check.refused:
        return Verdict(Decision.REFUSE, check.refused)
    if any(check.leaving[name][0] > most for name, most in check.shown.items()):
        return Verdict(Decision.REFUSE, "changed_since")
    if Right.IMPORT_FILES not in access.spec(role).rights:
        return Verdict(Decision.LEAVE, "for_the_academy")
    head = access.spec(role).hands_files_to
    limits = leaving.exceeded(check.settings, check.school, check.leaving) if head else ()
    unacceptable = set(check.mistakes) - _acceptable(role)
    if not (limits or unacceptable):
        return Verdict(Decision.AGREE if check.mistakes else Decision.IMPORT)
    if head and decide(head, check).imports:
        return Verdict(Decision.HAND_OVER, "too_many_leave" if limits else "for_the_head", limits)
    return Verdict(Decision.LEAVE, "for_the_academy", limits)


def _acceptable(role: Role) -> frozenset[str]:
    """Return the mistakes that files may look like and that the role may accept with a typed word."""
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
