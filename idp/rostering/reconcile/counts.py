"""Counts what an import does, once all phases have run."""

from dataclasses import dataclass

from idp.rostering.reconcile.staging import Staging
from idp.rostering.reconcile.statements import has_access, is_seen
from idp.rostering.records import Mode

_ENROLLED = "SELECT count(*) FROM known_child WHERE in_scope AND NOT is_left"
_READ = "SELECT coalesce(sum(copies), 0) FROM {table}"
_REFUSED = "SELECT coalesce(sum(iif(fate = 'refused', copies, {spare})), 0) FROM {table}"
_GONE = "SELECT count(*) FROM {table} s JOIN {known} k ON k.key = s.key WHERE s.fate = 'gone' AND NOT k.is_left"
_NEW_STUDENT = "s.fate = 'open' AND NOT EXISTS (SELECT 1 FROM known_child k WHERE k.key = s.key)"
_NEW_STUDENTS = f"SELECT count(*) FROM student s WHERE {_NEW_STUDENT}"
_NEW_GUARDIANS = "SELECT count(*) FROM guardian WHERE fate = 'new'"
_WAITING = "SELECT count(DISTINCT account) FROM allowed_link WHERE wait <> ''"
_NEW_WAITING = (
    "SELECT count(*) FROM guardian g WHERE g.fate = 'new' "
    "AND EXISTS (SELECT 1 FROM allowed_link l WHERE l.account = g.account_id AND l.wait <> '') "
    "AND NOT EXISTS (SELECT 1 FROM allowed_link l WHERE l.account = g.account_id AND l.wait = '')"
)
_CHANGED = "SELECT count(*) FROM changed_{table}"
_STUDENTS_LEFT = (
    f"SELECT (SELECT count(*) FROM absent_student) + ({_GONE.format(table='student', known='known_child')})"
)
_CLOSING = "SELECT count(*) FROM closing_account"
_CLOSING_IN_FILE = (
    "SELECT count(*) FROM closing_account c JOIN known_account k ON k.id = c.account JOIN guardian g ON g.key = k.key "
    "WHERE g.fate NOT IN ('refused', 'new', 'gone') AND g.key NOT IN (SELECT key FROM changed_guardian)"
)
_REOPENED = (
    "SELECT count(*) FROM changed_guardian c JOIN known_account k ON k.key = c.key WHERE k.is_left "
    f"AND NOT k.is_shut AND {has_access('k.id')} AND {is_seen('k')}"
)
_CLOSINGS_STAY = (
    "SELECT count(*) FROM ending_link e JOIN known_link t ON t.child = e.child AND t.account = e.account "
    "JOIN known_child c ON c.id = e.child AND c.in_scope WHERE t.closed = 'closed'"
)
_RECORDS = "SELECT (SELECT count(*) FROM student) + (SELECT count(*) FROM guardian)"
_ABSENT = "SELECT count(*) FROM absent_student"
_FAMILIES = (
    "SELECT count(*) FROM (SELECT account FROM allowed_link UNION SELECT k.account FROM known_link k "
    "WHERE NOT k.is_ended AND NOT EXISTS (SELECT 1 FROM ending_link e WHERE e.child = k.child "
    "AND e.account = k.account) EXCEPT SELECT account FROM closing_account)"
)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """How many records of a kind came, and what becomes of them; `left` counts those of the database.

    `leaving` of the `changed` records are of people who leave, and whom `left` counts too.
    """

    read: int
    created: int
    changed: int
    leaving: int
    unchanged: int
    left: int
    refused: int


def count(staging: Staging, mode: Mode) -> dict[str, Counted]:
    """Return what becomes of pupils and guardians."""
    return {
        "students": _count(staging, "student", mode, created=_NEW_STUDENTS, left=_STUDENTS_LEFT),
        "guardians": _count(staging, "guardian", mode, created=_NEW_GUARDIANS, left=_CLOSING),
    }


def _count(staging: Staging, table: str, mode: Mode, *, created: str, left: str) -> Counted:
    """Count each record once: as created, changed, refused or, if it is none of these, unchanged.

    A record that is gone is changed, and so is one whose account closes because the file gives it no pupil. A repeated
    record of a complete file is refused; in a Delta it changes the first.
    """
    by_reader = staging.refused[table]
    read = staging.value(_READ.format(table=table)) + by_reader
    spare = "copies - 1" if mode is Mode.COMPLETE else "0"
    refused = staging.value(_REFUSED.format(table=table, spare=spare))
    known = {"student": "known_child", "guardian": "known_account"}[table]
    new = staging.value(created)
    leaving = staging.value(_GONE.format(table=table, known=known))
    if table == "guardian":
        leaving += staging.value(_CLOSING_IN_FILE)
    changed = staging.value(_CHANGED.format(table=table)) + leaving
    return Counted(
        read=read,
        created=new,
        changed=changed,
        leaving=leaving,
        unchanged=read - new - changed - refused - by_reader,
        left=staging.value(left),
        refused=refused + by_reader,
    )


def count_accounts(staging: Staging) -> dict[str, int]:
    """Return how many accounts the families of the files have in the end, and how many open and close."""
    return {
        "total": staging.value(_FAMILIES),
        "created": staging.value(_NEW_GUARDIANS),
        "disabled": staging.value(_CLOSING),
    }


def count_waiting(staging: Staging) -> dict[str, int]:
    """Return how many `people` get a tie that waits for the head, and how many new `accounts` have no other one."""
    return {"people": staging.value(_WAITING), "accounts": staging.value(_NEW_WAITING)}


def count_access(staging: Staging) -> dict[str, int]:
    """Return how many accounts a file opens again (`reopened`), and how many closed ties end (`closed`).

    The closing of such a tie stays, though the file names the person no more.
    """
    return {"reopened": staging.value(_REOPENED), "closed": staging.value(_CLOSINGS_STAY)}


def enrolled(staging: Staging) -> int:
    """Return how many pupils the schools of the files have in the database."""
    count: int = staging.value(_ENROLLED)
    return count


def records(staging: Staging) -> int:
    """Return how many records of people are compared with the database."""
    total: int = staging.value(_RECORDS)
    return total


def rows_to_write(staging: Staging) -> int:
    """Return how many rows of people will be written."""
    statements = (_CHANGED.format(table="guardian"), _CHANGED.format(table="student"), _ABSENT)
    return sum(staging.value(statement) for statement in (*statements, _NEW_GUARDIANS, _NEW_STUDENTS))
