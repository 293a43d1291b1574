"""The rights of each role at the desk, the pages that ask for a reason first, and what an engineer reads."""

import enum

from idp.audit.catalogue import KINDS
from idp.desk.staff.models import Role


class Right(enum.Enum):
    """What a role may do; the scope of the role bounds each of them."""

    READ_FAMILIES = enum.auto()
    """Search, and read the state of a family."""
    HELP_FAMILIES = enum.auto()
    """Send a mail again, unlock an account."""
    PRINT_LETTER = enum.auto()
    """Print a letter for one person, also for an account that has been active."""
    SUSPEND = enum.auto()
    """Suspend an account or one tie."""
    REOPEN = enum.auto()
    """Reopen what was suspended."""
    READ_NOTICES = enum.auto()
    SETTLE_NOTICES = enum.auto()
    """Settle notices, and open one for a person who says on the telephone « Ce n’est pas mon enfant »."""
    IMPORT_FILES = enum.auto()
    """Check and import school files."""
    READ_CLASSES = enum.auto()
    """Read the state of classes, remind families."""
    PRINT_CLASSES = enum.auto()
    """Print the letters of a class."""
    EDIT_SCHOOL = enum.auto()
    """Change the school's own data."""
    MANAGE_TEAM = enum.auto()
    """Invite staff, end roles, give an access back."""
    READ_ENTS = enum.auto()
    MANAGE_ENTS = enum.auto()
    """Register and test ENTs, rotate secrets, publish charters."""
    READ_STATISTICS = enum.auto()
    READ_JOURNAL = enum.auto()
    FORCE_PASSWORDS = enum.auto()
    """Make all families of a school choose new passwords."""
    READ_RETENTION = enum.auto()
    """Read how long data are kept."""
    SERVE_RIGHTS = enum.auto()
    """Answer requests of access, rectification and erasure."""


_SCHOOL = frozenset({Role.SECRETARY, Role.HEAD})
RIGHTS: dict[Right, frozenset[Role]] = {
    Right.READ_FAMILIES: _SCHOOL | {Role.HELPDESK, Role.DPO},
    Right.HELP_FAMILIES: _SCHOOL | {Role.HELPDESK},
    Right.PRINT_LETTER: _SCHOOL,
    Right.SUSPEND: _SCHOOL | {Role.HELPDESK},
    Right.REOPEN: frozenset({Role.HEAD}),
    Right.READ_NOTICES: _SCHOOL | {Role.HELPDESK, Role.DPO},
    Right.SETTLE_NOTICES: _SCHOOL,
    Right.IMPORT_FILES: _SCHOOL | {Role.ENGINEER},
    Right.READ_CLASSES: _SCHOOL,
    Right.PRINT_CLASSES: _SCHOOL,
    Right.EDIT_SCHOOL: _SCHOOL | {Role.ENGINEER},
    Right.MANAGE_TEAM: frozenset({Role.HEAD, Role.ENT_OPERATOR, Role.HELPDESK, Role.ENGINEER}),
    Right.READ_ENTS: frozenset({Role.HEAD, Role.ENT_OPERATOR, Role.HELPDESK, Role.DPO, Role.ENGINEER}),
    Right.MANAGE_ENTS: frozenset({Role.ENT_OPERATOR, Role.ENGINEER}),
    Right.READ_STATISTICS: frozenset(Role),
    Right.READ_JOURNAL: frozenset(Role),
    Right.FORCE_PASSWORDS: frozenset({Role.HEAD, Role.ENGINEER}),
    Right.READ_RETENTION: frozenset({Role.DPO}),
    Right.SERVE_RIGHTS: frozenset({Role.DPO}),
}
"""The roles that have each right."""

_READS_FAMILIES = frozenset(
    {Right.READ_FAMILIES, Right.HELP_FAMILIES, Right.SUSPEND, Right.READ_NOTICES, Right.SERVE_RIGHTS}
)
"""The rights to pages with families' data: a person of the académie gives a reason first."""
ASKED_FOR_A_REASON = {Role.HELPDESK: _READS_FAMILIES, Role.DPO: _READS_FAMILIES | {Right.READ_JOURNAL}}
"""The rights whose pages ask a person in the role for a reason first."""
TECHNICAL = tuple(name for name, kind in KINDS.items() if kind.technical)
"""The kinds of events that an engineer reads: none of them is about a family."""
