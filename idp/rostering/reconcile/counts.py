"""Counts what an import does, once all phases have run, and recognises files that look like a mistake."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from idp.rostering.reconcile import known
from idp.rostering.reconcile.staging import Staging
from idp.rostering.reconcile.statements import HERE, has_access, is_seen
from idp.rostering.records import Mode

_READ = "SELECT coalesce(sum(copies), 0) FROM {table}"
_REFUSED = "SELECT coalesce(sum(iif(fate = 'refused', copies, {spare})), 0) FROM {table}"
_GONE = "SELECT count(*) FROM {table} s JOIN {known} k ON k.key = s.key WHERE s.fate = 'gone' AND NOT k.is_left"
_NEW_STUDENT = "s.fate = 'open' AND NOT EXISTS (SELECT 1 FROM known_child k WHERE k.key = s.key)"
_NEW_STUDENTS = f"SELECT count(*) FROM student s WHERE {_NEW_STUDENT}"
_NEW_GUARDIANS = "SELECT count(*) FROM guardian WHERE fate = 'new'"
_CHANGED = "SELECT count(*) FROM changed_{table}"
_CLOSING = "SELECT count(*) FROM closing_account"


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
        "students": _count(
            staging,
            "student",
            mode,
            created=_NEW_STUDENTS,
            left="SELECT (SELECT count(*) FROM absent_student) + "
            f"({_GONE.format(table='student', known='known_child')})",
        ),
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
        leaving += staging.value(
            "SELECT count(*) FROM closing_account c JOIN known_account k ON k.id = c.account "
            "JOIN guardian g ON g.key = k.key WHERE g.fate NOT IN ('refused', 'new', 'gone') "
            "AND g.key NOT IN (SELECT key FROM changed_guardian)"
        )
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


def totals(staging: Staging) -> dict[str, dict[str, int]]:
    """Return the counts of accounts and ties, under the names of the JSON output.

    `accounts`: how many the families of the files have in the end, and how many open and close. `waiting`: how many
    people get a tie that waits for the head, and how many new accounts have no other one. `access`: how many accounts
    the files open again, and how many closed ties end; their closing stays.
    """
    return {
        "accounts": {
            "total": staging.value(
                "SELECT count(*) FROM (SELECT account FROM allowed_link UNION SELECT k.account FROM known_link k "
                "WHERE NOT k.is_ended AND NOT EXISTS (SELECT 1 FROM ending_link e WHERE e.child = k.child "
                "AND e.account = k.account) EXCEPT SELECT account FROM closing_account)"
            ),
            "created": staging.value(_NEW_GUARDIANS),
            "disabled": staging.value(_CLOSING),
        },
        "waiting": {
            "people": staging.value("SELECT count(DISTINCT account) FROM allowed_link WHERE wait <> ''"),
            "accounts": staging.value(
                "SELECT count(*) FROM guardian g WHERE g.fate = 'new' "
                "AND EXISTS (SELECT 1 FROM allowed_link l WHERE l.account = g.account_id AND l.wait <> '') "
                "AND NOT EXISTS (SELECT 1 FROM allowed_link l WHERE l.account = g.account_id AND l.wait = '')"
            ),
        },
        "access": {
            "reopened": staging.value(
                "SELECT count(*) FROM changed_guardian c JOIN known_account k ON k.key = c.key WHERE k.is_left "
                f"AND NOT k.is_shut AND {has_access('k.id')} AND {is_seen('k')}"
            ),
            "closed": staging.value(
                "SELECT count(*) FROM ending_link e JOIN known_link t ON t.child = e.child AND t.account = e.account "
                "JOIN known_child c ON c.id = e.child AND c.in_scope WHERE t.closed = 'closed'"
            ),
        },
    }


def enrolled(staging: Staging) -> int:
    """Return how many pupils the schools of the files have in the database."""
    count: int = staging.value("SELECT count(*) FROM known_child WHERE in_scope AND NOT is_left")
    return count


def records(staging: Staging) -> int:
    """Return how many records of people are compared with the database."""
    total: int = staging.value("SELECT (SELECT count(*) FROM student) + (SELECT count(*) FROM guardian)")
    return total


def rows_to_write(staging: Staging) -> int:
    """Return how many rows of people will be written."""
    statements = (
        _CHANGED.format(table="guardian"),
        _CHANGED.format(table="student"),
        "SELECT count(*) FROM absent_student",
    )
    return sum(staging.value(statement) for statement in (*statements, _NEW_GUARDIANS, _NEW_STUDENTS))


FEW = 20  # so many accounts, pupils or children may change without anything being wrong
BOTH_PARENTS = 2
"""One pupil may leave a small school, and takes two accounts and two ties along, if that is not most of them."""

_OPEN = "known_link k JOIN known_child c ON c.id = k.child AND c.in_scope WHERE NOT k.is_ended"

_LINKS = f"SELECT count(*) FROM {_OPEN}"


class Mistake(NamedTuple):
    """Why the files look like a mistake; `figures` are how many accounts or ties would end, and of how many."""

    code: str
    sentence: str
    figures: tuple[int, ...] = ()


def find_absurd(staging: Staging, mode: Mode, percent: float) -> Iterator[Mistake]:
    """Yield why the files look like a mistake.

    Too many accounts would close, too many links would end, or too many pupils come from other schools. A Delta is
    compared with the whole database, a complete file with its schools.
    """
    closing = staging.value(_CLOSING)
    if mode is Mode.DELTA:
        everybody = known.open_accounts() if closing > FEW else 0
        if everybody:
            yield from _too_many("many_accounts", closing, everybody, "accounts would be disabled", percent)
        return
    yield from _too_many(
        "many_accounts",
        closing,
        staging.value(f"SELECT count(DISTINCT k.account) FROM {_OPEN}"),
        "accounts would be disabled",
        percent,
    )
    ending = staging.value(
        f"SELECT count(*) FROM {_OPEN} AND EXISTS "
        "(SELECT 1 FROM ending_link e WHERE e.child = k.child AND e.account = k.account)"
    )
    sentence = "ties between a guardian and a child would end"
    yield from _too_many("many_ties", ending, staging.value(_LINKS), sentence, percent)
    strangers = staging.value(
        "SELECT count(*) FROM student s JOIN known_child k ON k.id = s.child_id AND NOT k.in_scope AND NOT k.is_left "
        f"WHERE s.fate IN {HERE}"
    )
    if strangers > FEW:
        everybody = staging.value(f"SELECT count(*) FROM student WHERE fate IN {HERE}")
        yield from _too_many("many_strangers", strangers, everybody, "pupils are known in other schools", percent)
    most = staging.value("SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM allowed_link GROUP BY account)")
    if most > FEW:
        yield Mistake("crowded", f"one person would have {most} children")
    for school in staging.rows(
        "SELECT s.uai, count(DISTINCT k.account) AS accounts, count(DISTINCT l.account) AS closing FROM known_link k "
        "JOIN known_child c ON c.id = k.child AND c.in_scope JOIN known_school s ON s.id = c.school_id "
        "LEFT JOIN closing_account l ON l.account = k.account WHERE NOT k.is_ended GROUP BY s.uai "
        "HAVING accounts >= :few AND closing * 2 > accounts",
        few=FEW,
    ):  # a small school may lose its accounts
        sentence = f"{school.closing} of the {school.accounts} accounts of {school.uai} would be disabled"
        yield Mistake("emptied", sentence, (school.closing, school.accounts))


def ties_of_staying(staging: Staging) -> tuple[int, int]:
    """Return how many ties would end between a guardian and a pupil who both stay, and of how many ties."""
    ending = staging.value(
        f"SELECT count(*) FROM {_OPEN} AND k.child NOT IN (SELECT id FROM absent_student) "
        "AND k.account NOT IN (SELECT account FROM closing_account) AND EXISTS "
        "(SELECT 1 FROM ending_link e WHERE e.child = k.child AND e.account = k.account)"
    )
    return ending, staging.value(_LINKS)


def is_crowded(staging: Staging) -> bool:
    """Return whether the files alone give one person too many children."""
    most: int = staging.value("SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM link GROUP BY guardian)")
    return most > FEW


def _too_many(code: str, some: int, everything: int, what: str, percent: float) -> Iterator[Mistake]:
    is_one_family = percent > 0 and some <= BOTH_PARENTS and some * 2 <= everything
    if some * 100 > percent * everything and not is_one_family:
        yield Mistake(code, f"{some} of {everything} {what}, more than {percent:g} %", (some, everything))


def half_pairs(staging: Staging) -> Iterator[str]:
    """Yield the schools of which only one file of a pair came."""
    return staging.values("SELECT uai FROM school WHERE copies < 2 ORDER BY uai")


def other_sources(staging: Staging, format_: str) -> Iterator[Any]:
    """Yield the `uai` of the schools of the files that files of another format feed, and its `source`."""
    return staging.rows(
        "SELECT uai, source FROM known_school WHERE source NOT IN ('', :format) AND (uai IN (SELECT uai FROM school) "
        "OR uai IN (SELECT uai FROM student)) ORDER BY uai",
        format=format_,
    )
