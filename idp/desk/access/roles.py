"""The table of the roles: every fact about a role is a field of its row.

A role without a row sees nothing and may do nothing, and so are the defaults of a row.
"""

import enum
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask_babel import lazy_gettext as _l
from sqlalchemy import ColumnElement, and_, or_

from idp.audit.catalogue import KINDS
from idp.desk.staff.models import Role, StaffRole
from idp.throttle import limits
from idp.throttle.limits import Budget


class Right(enum.Enum):
    """What a role may do; the scope of the role bounds each of them."""

    READ_FAMILIES = enum.auto()
    """Search, and read the state of a family."""
    HELP_FAMILIES = enum.auto()
    """Send a mail again, unlock an account."""
    PRINT_LETTER = enum.auto()
    """Print a letter for one person, also for an account that has been active."""
    CLOSE = enum.auto()
    REOPEN = enum.auto()
    READ_NOTICES = enum.auto()
    SETTLE_NOTICES = enum.auto()
    """Settle notices, and open one for a person who says on the telephone « Ce n’est pas mon enfant »."""
    IMPORT_FILES = enum.auto()
    DECIDE_FILES = enum.auto()
    """Import or decline the files of a colleague that wait for a decision."""
    READ_JOBS = enum.auto()
    """Read the jobs of all colleagues in the scope; anybody else reads the own ones."""
    READ_CLASSES = enum.auto()
    """Read the state of classes, remind families."""
    PRINT_CLASSES = enum.auto()
    EDIT_SCHOOL = enum.auto()
    MANAGE_TEAM = enum.auto()
    """Invite staff, end roles, give an access back."""
    MANAGE_ALL_TEAMS = enum.auto()
    """Do so for every school and ENT: choose the scope, know all people, end also the role of a school's last head."""
    READ_ENTS = enum.auto()
    MANAGE_ENTS = enum.auto()
    """Register and test ENTs, rotate secrets, publish charters."""
    DECIDE_ENTS = enum.auto()
    """Register and change ENTs without asking, accept or refuse what the operator of an ENT asks for."""
    READ_STATISTICS = enum.auto()
    READ_JOURNAL = enum.auto()
    FORCE_PASSWORDS = enum.auto()
    READ_RETENTION = enum.auto()
    SERVE_RIGHTS = enum.auto()
    """Answer requests of access, rectification and erasure."""


class Scope(enum.Enum):
    """The schools, families and ENTs that a role sees."""

    NOTHING = enum.auto()
    SCHOOL = enum.auto()
    """One school, with the ENTs that serve it."""
    ENT = enum.auto()
    """One ENT, with the schools that it serves."""
    ACADEMY = enum.auto()


class Journal(enum.Enum):
    """The entries of the journal that a role reads."""

    NOTHING = enum.auto()
    OWN = enum.auto()
    """The person's own acts, at a school those for the school in use."""
    SCHOOL = enum.auto()
    """The acts for the school, the own ones, and those of the académie on accounts of the school."""
    ENT = enum.auto()
    """The events of the own ENT, without those of families."""
    TECHNICAL = enum.auto()
    ALL = enum.auto()


@dataclass(frozen=True)
class Closings:
    """How a role closes accesses: `who` begins a sentence, `refusal` is that of a spent budget.

    So many as `alert` that one person closes on one day are an alert. Answers to notices of other roles do not count.
    Of imports, the accounts count whose key goes to another person, and the ties that end although the pupil and the
    guardian stay; departures do not.
    """

    who: Any
    alert: int
    budget: Budget | None = None
    refusal: Any = ""


_TICKET = _l("ticket 4512, le parent ne reçoit pas le mail")


@dataclass(frozen=True)
class RoleSpec:
    """What a role is; the scope bounds each right.

    Attributes:
        asks_reason: the rights whose pages ask for a reason first; `reason` is an example.
        grants: the roles that it may grant, renew and end, within its scope.
        leads: whether the role leads a school: it is told of other contacts, devices and keys of the staff there, and
            the school keeps somebody who has it.
        told_of: the scopes of which the role is told, within its own: new roles there, and the alerts about schools.
        accepts: what files may look like that the role imports with a typed word; None for every mistake.
        hands_files_to: the role that imports instead what this one may not: files by which many people leave, or with
            mistakes that the other role accepts.
    """

    label: Any = ""
    scope: Scope = Scope.NOTHING
    journal: Journal = Journal.NOTHING
    rights: frozenset[Right] = frozenset()
    asks_reason: frozenset[Right] = frozenset()
    reason: Any = _TICKET
    grants: frozenset[Role] = frozenset()
    leads: bool = False
    told_of: frozenset[Scope] = frozenset()
    closings: Closings | None = None
    accepts: frozenset[str] | None = frozenset()
    hands_files_to: Role | None = None

    @property
    def is_at_school(self) -> bool:
        """Whether the role is one at a school."""
        return self.scope is Scope.SCHOOL


_NOTHING = RoleSpec()
_EVERYBODY = frozenset({Right.READ_STATISTICS, Right.READ_JOURNAL})
_AT_A_SCHOOL = _EVERYBODY | {
    Right.READ_FAMILIES, Right.HELP_FAMILIES, Right.PRINT_LETTER, Right.CLOSE, Right.READ_NOTICES,
    Right.SETTLE_NOTICES, Right.IMPORT_FILES, Right.READ_JOBS, Right.READ_CLASSES, Right.PRINT_CLASSES,
    Right.EDIT_SCHOOL,
}  # fmt: skip
_OF_HELPDESK = _EVERYBODY | {
    Right.READ_FAMILIES, Right.HELP_FAMILIES, Right.CLOSE, Right.READ_NOTICES, Right.MANAGE_TEAM, Right.READ_ENTS,
}  # fmt: skip
_OF_ENGINEER = _EVERYBODY | {
    Right.IMPORT_FILES, Right.READ_JOBS, Right.EDIT_SCHOOL, Right.MANAGE_TEAM, Right.MANAGE_ALL_TEAMS,
    Right.READ_ENTS, Right.MANAGE_ENTS, Right.DECIDE_ENTS, Right.FORCE_PASSWORDS,
}  # fmt: skip
_READS_FAMILIES = frozenset(
    {Right.READ_FAMILIES, Right.HELP_FAMILIES, Right.CLOSE, Right.READ_NOTICES, Right.SERVE_RIGHTS}
)

ROLES: dict[Role, RoleSpec] = {
    Role.SECRETARY: RoleSpec(
        label=_l("Secrétariat"),
        scope=Scope.SCHOOL,
        journal=Journal.OWN,
        rights=_AT_A_SCHOOL,
        closings=Closings(
            who=_l("Le secrétariat"),
            alert=5,
            budget=limits.SECRETARY_CLOSINGS,
            refusal=_l(
                "Vous avez atteint le maximum d’accès fermés : %(rates)s. La direction peut en fermer d’autres.",
                rates=limits.SECRETARY_CLOSINGS.rates,
            ),
        ),
        hands_files_to=Role.HEAD,
    ),
    Role.HEAD: RoleSpec(
        label=_l("Direction"),
        scope=Scope.SCHOOL,
        journal=Journal.SCHOOL,
        rights=_AT_A_SCHOOL
        | {Right.REOPEN, Right.DECIDE_FILES, Right.MANAGE_TEAM, Right.READ_ENTS, Right.FORCE_PASSWORDS},
        grants=frozenset({Role.SECRETARY, Role.HEAD}),
        leads=True,
        told_of=frozenset({Scope.SCHOOL}),
        closings=Closings(
            who=_l("La direction"),
            alert=20,
            budget=limits.HEAD_CLOSINGS,
            refusal=_l(
                "Vous avez atteint le maximum d’accès fermés : %(rates)s. Attendez avant d’en fermer d’autres.",
                rates=limits.HEAD_CLOSINGS.rates,
            ),
        ),
        accepts=frozenset({"other_source", "many_accounts", "many_ties", "emptied"}),
    ),
    Role.ENT_OPERATOR: RoleSpec(
        label=_l("Exploitation d’un ENT"),
        scope=Scope.ENT,
        journal=Journal.ENT,
        rights=_EVERYBODY | {Right.MANAGE_TEAM, Right.READ_ENTS, Right.MANAGE_ENTS},
        grants=frozenset({Role.ENT_OPERATOR}),
    ),
    Role.HELPDESK: RoleSpec(
        label=_l("Assistance de l’académie"),
        scope=Scope.ACADEMY,
        journal=Journal.OWN,
        rights=_OF_HELPDESK,
        asks_reason=_READS_FAMILIES,
        grants=frozenset({Role.HELPDESK}),
        closings=Closings(who=_l("L’assistance de l’académie"), alert=10),
    ),
    Role.DPO: RoleSpec(
        label=_l("Protection des données"),
        scope=Scope.ACADEMY,
        journal=Journal.ALL,
        rights=_EVERYBODY
        | {Right.READ_FAMILIES, Right.READ_NOTICES, Right.READ_ENTS, Right.READ_RETENTION, Right.SERVE_RIGHTS},
        asks_reason=_READS_FAMILIES | {Right.READ_JOURNAL},
        reason=_l("demande d’accès reçue le 3 septembre, dossier 45"),
        told_of=frozenset({Scope.ACADEMY}),
    ),
    Role.ENGINEER: RoleSpec(
        label=_l("Ingénierie de l’académie"),
        scope=Scope.ACADEMY,
        journal=Journal.TECHNICAL,
        rights=_OF_ENGINEER,
        grants=frozenset(Role),
        told_of=frozenset({Scope.SCHOOL, Scope.ACADEMY}),
        accepts=None,
    ),
}


def spec(role: Role | None) -> RoleSpec:
    """Return the row of a role; without a role, or a row, one that sees nothing and has no right."""
    return ROLES.get(role, _NOTHING) if role else _NOTHING


def held(fact: Callable[[RoleSpec], bool]) -> ColumnElement[bool]:
    """Return the condition of the roles of staff for whose row a fact holds."""
    return StaffRole.role.in_([role for role, row in ROLES.items() if fact(row)])


def heads() -> ColumnElement[bool]:
    """Return the condition of the roles of staff that lead a school."""
    return held(lambda row: row.leads)


def is_told(scope: Scope, school_id: uuid.UUID | None) -> ColumnElement[bool]:
    """Return the condition of the roles of staff that are told of a scope: of a school, its own and the académie's."""
    here = or_(StaffRole.school_id.is_(None), StaffRole.school_id == school_id)
    return and_(held(lambda row: scope in row.told_of), here)


TECHNICAL = tuple(name for name, kind in KINDS.items() if kind.technical)
