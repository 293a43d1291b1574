"""Recognises files that look like a mistake, once all phases have run."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from idp.rostering.reconcile import known
from idp.rostering.reconcile.staging import Staging
from idp.rostering.reconcile.statements import HERE
from idp.rostering.records import Mode

_FEW = 20
"""So many accounts, pupils or children may change without anything being wrong."""
BOTH_PARENTS = 2
"""One pupil may leave a small school, and takes two accounts and two ties along, if that is not most of them."""

_OPEN = "known_link k JOIN known_child c ON c.id = k.child AND c.in_scope WHERE NOT k.is_ended"
_CLOSING = "SELECT count(*) FROM closing_account"
_ACCOUNTS = f"SELECT count(DISTINCT k.account) FROM {_OPEN}"
_LINKS = f"SELECT count(*) FROM {_OPEN}"
_ENDING = (
    f"SELECT count(*) FROM {_OPEN} AND EXISTS "
    "(SELECT 1 FROM ending_link e WHERE e.child = k.child AND e.account = k.account)"
)
_ENDING_OF_STAYING = (
    f"SELECT count(*) FROM {_OPEN} AND k.child NOT IN (SELECT id FROM absent_student) "
    "AND k.account NOT IN (SELECT account FROM closing_account) AND EXISTS "
    "(SELECT 1 FROM ending_link e WHERE e.child = k.child AND e.account = k.account)"
)
_STUDENTS = f"SELECT count(*) FROM student WHERE fate IN {HERE}"
_OF_OTHER_SCHOOLS = (
    "SELECT count(*) FROM student s JOIN known_child k ON k.id = s.child_id AND NOT k.in_scope AND NOT k.is_left "
    f"WHERE s.fate IN {HERE}"
)
_MOST_CHILDREN = "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM allowed_link GROUP BY account)"
_MOST_CHILDREN_OF_FILES = "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM link GROUP BY guardian)"
_EMPTIED = (
    "SELECT s.uai, count(DISTINCT k.account) AS accounts, count(DISTINCT l.account) AS closing FROM known_link k "
    "JOIN known_child c ON c.id = k.child AND c.in_scope JOIN known_school s ON s.id = c.school_id "
    "LEFT JOIN closing_account l ON l.account = k.account WHERE NOT k.is_ended GROUP BY s.uai "
    "HAVING accounts >= :few AND closing * 2 > accounts"
)
_HALF_PAIRS = "SELECT uai FROM school WHERE copies < 2 ORDER BY uai"
_OTHER_SOURCES = (
    "SELECT uai, source FROM known_school WHERE source NOT IN ('', :format) AND (uai IN (SELECT uai FROM school) "
    "OR uai IN (SELECT uai FROM student)) ORDER BY uai"
)


class Mistake(NamedTuple):
    """Why the files look like a mistake.

    Attributes:
        code: a word for programs.
        sentence: for the operator of the command.
        figures: how many accounts or ties would end, and of how many; empty for other mistakes.
    """

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
        everybody = known.open_accounts() if closing > _FEW else 0
        if everybody:
            yield from _too_many("many_accounts", closing, everybody, "accounts would be disabled", percent)
        return
    yield from _too_many("many_accounts", closing, staging.value(_ACCOUNTS), "accounts would be disabled", percent)
    ending, links = staging.value(_ENDING), staging.value(_LINKS)
    yield from _too_many("many_ties", ending, links, "ties between a guardian and a child would end", percent)
    strangers = staging.value(_OF_OTHER_SCHOOLS)
    if strangers > _FEW:
        everybody = staging.value(_STUDENTS)
        yield from _too_many("many_strangers", strangers, everybody, "pupils are known in other schools", percent)
    most = staging.value(_MOST_CHILDREN)
    if most > _FEW:
        yield Mistake("crowded", f"one person would have {most} children")
    for school in staging.rows(_EMPTIED, few=_FEW):  # a small school may lose its accounts
        sentence = f"{school.closing} of the {school.accounts} accounts of {school.uai} would be disabled"
        yield Mistake("emptied", sentence, (school.closing, school.accounts))


def ties_of_staying(staging: Staging) -> tuple[int, int]:
    """Return how many ties would end between a guardian and a pupil who both stay, and of how many ties."""
    return staging.value(_ENDING_OF_STAYING), staging.value(_LINKS)


def is_crowded(staging: Staging) -> bool:
    """Return whether the files alone give one person too many children."""
    most: int = staging.value(_MOST_CHILDREN_OF_FILES)
    return most > _FEW


def _too_many(code: str, some: int, everything: int, what: str, percent: float) -> Iterator[Mistake]:
    is_one_family = percent > 0 and some <= BOTH_PARENTS and some * 2 <= everything
    if some * 100 > percent * everything and not is_one_family:
        yield Mistake(code, f"{some} of {everything} {what}, more than {percent:g} %", (some, everything))


def half_pairs(staging: Staging) -> Iterator[str]:
    """Yield the schools of which only one file of a pair came."""
    return staging.values(_HALF_PAIRS)


def other_sources(staging: Staging, format_: str) -> Iterator[Any]:
    """Yield the `uai` of the schools of the files that files of another format feed, and its `source`."""
    return staging.rows(_OTHER_SOURCES, format=format_)
