"""Takes out of the rows that hold something of one person what they say of other people.

Of an event's details only those that stand here are shown: what is added to an event later stays out by itself.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask_babel import lazy_gettext as _l

from idp.audit.models import OK
from idp.mail.emails import fold_email

_OF_CHILD = ("rank", "kinship", "authority")
_OTHER_EMAIL = _l("une autre adresse")
_SHOWN_DETAILS: Mapping[str, frozenset[str]] = {
    "account.changed": frozenset({"change"}),
    "charter.accepted": frozenset({"version", "shown_by"}),
    "charter.refused": frozenset({"version"}),
    "dispute.settled": frozenset({"dispute", "outcome"}),
    "email.change_contested": frozenset({"applied"}),
    "recovery.password": frozenset({"answer"}),
    "roster.account": frozenset({"change"}),
    "school.notice_settled": frozenset({"about"}),
    "sessions.ended": frozenset({"count", "by"}),
    "sign_in": frozenset({"amr", "door"}),
    "sign_out": frozenset({"by"}),
}
"""Members of the journal's details that are shown, by the kind of event; any other may speak of somebody else."""

_OPEN_TO_OTHERS = frozenset(
    {
        "activation.reported",
        "dispute.settled",
        "email.change_contested",
        "guardianship.disputed",
        "recovery.password",
        "recovery.username",
        "recovery.username_told",
    }
)
"""Events that succeed without the account's password: their IP address may be another person's."""


@dataclass(frozen=True)
class Person:
    """Whose data: the accounts of one person, the keys of the school files, what hangs on the accounts.

    `children` are those whose guardian the person is today, `schools` those of these children, and `emails` the
    addresses that are the accounts' own, folded.
    """

    accounts: frozenset[uuid.UUID]
    roster_keys: frozenset[str]
    children: frozenset[uuid.UUID]
    schools: frozenset[uuid.UUID]
    emails: frozenset[str]
    messages: frozenset[uuid.UUID]


Row = dict[str, Any]


def whole(_person: Person, row: Row) -> Row:
    """Return the row as it is: it speaks of the person alone."""
    return row


def tie(person: Person, row: Row) -> Row:
    """Return a tie; of one that does not hold its dates alone, since the child is somebody else's."""
    return row if row["child_id"] in person.children else row | {"child_id": None} | dict.fromkeys(_OF_CHILD)


def link(person: Person, row: Row) -> Row:
    """Return a link; its address only if it is the account's today: a former one may be another person's."""
    return row if fold_email(row["address"]) in person.emails else row | {"address": str(_OTHER_EMAIL)}


def notice(person: Person, row: Row) -> Row:
    """Return a notice; the school only if a child of the person is there today."""
    return row if row["school_id"] in person.schools else row | {"school_id": None}


def event(_person: Person, row: Row) -> Row:
    """Return an event; the IP address only of what the person did."""
    shown = _SHOWN_DETAILS.get(row["kind"], frozenset())
    row = row | {"details": {name: value for name, value in row["details"].items() if name in shown}}
    mine = row["result"] == OK and row["kind"] not in _OPEN_TO_OTHERS
    return row if mine else row | {"address": ""}
