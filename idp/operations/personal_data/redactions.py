"""Removes data about other people from a person's rows.

Only the details of an event that its kind names are shown.
"""

import uuid
from dataclasses import dataclass
from typing import Any

from flask_babel import lazy_gettext as _l

from idp.audit.catalogue import KINDS
from idp.audit.models import OK
from idp.mail.emails import fold_email

_OF_CHILD = ("rank", "kinship", "authority", "was_excluded")
_OTHER_EMAIL = _l("une autre adresse")


@dataclass(frozen=True)
class Person:
    """One person: their accounts, keys in the school files, and what belongs to the accounts.

    `children` are those whose guardian the person is today, `schools` those of these children, and `emails` the
    accounts' own addresses, folded.
    """

    accounts: frozenset[uuid.UUID]
    roster_keys: frozenset[str]
    children: frozenset[uuid.UUID]
    schools: frozenset[uuid.UUID]
    emails: frozenset[str]
    messages: frozenset[uuid.UUID]


Row = dict[str, Any]


def whole(_person: Person, row: Row) -> Row:
    """Return the row unchanged: it is about this person only."""
    return row


def tie(person: Person, row: Row) -> Row:
    """Return a tie; only the dates of one that does not hold, since the child is another family's."""
    return row if row["child_id"] in person.children else row | {"child_id": None} | dict.fromkeys(_OF_CHILD)


def link(person: Person, row: Row) -> Row:
    """Return a link; its address only if it is the account's today, since a former one may be another person's."""
    return row if fold_email(row["email"]) in person.emails else row | {"email": str(_OTHER_EMAIL)}


def notice(person: Person, row: Row) -> Row:
    """Return a notice; the school only if a child of the person is there today."""
    return row if row["school_id"] in person.schools else row | {"school_id": None}


def suspension(person: Person, row: Row) -> Row:
    """Return a suspension; the child and the school only if the person may know them today."""
    hidden = {} if row["child_id"] in person.children else {"child_id": None}
    return row | hidden | ({} if row["school_id"] in person.schools else {"school_id": None})


def event(_person: Person, row: Row) -> Row:
    """Return an event; the IP only if the person caused it, and neither a member of staff nor an operator."""
    kind = KINDS.get(row["kind"])
    shown = kind.exported if kind else ()
    row = row | {"details": {name: value for name, value in row["details"].items() if name in shown}}
    mine = not row["actor"] and row["result"] == OK and not (kind and kind.is_open)
    return row if mine else row | {"ip": ""}
