"""Stops new accounts and new ties that would bypass a suspension.

If another software numbers the pupils or the guardians again, or if a file writes a name in another way, a suspended
person would otherwise get a new tie or a new account that is not suspended. So the new people of the schools in which
somebody is suspended are compared with the suspended people (`idp.accounts.suspensions.traces`):

1. A person is recognised who has the names of one whose access is suspended in the school, or nearly the names of one
   whose access to the same pupil is. Of the same pupil's guardians, one with another civility is another person: mother
   and father may have nearly the same names. All new ties of the record wait for the head, also those elsewhere.
2. Any other new guardian of that pupil, also if the pupil has had another number since this file or an earlier one,
   waits for the head, and so does a person of another pupil of the school who has nearly the names.
3. A pupil with a new guardian who both have the names of a suspended person and the pupil in another school, one of
   them maybe only nearly, may be these two: keys that contain the school change with it. It does not matter whether the
   school knows one of them already. The person waits for the head, who is told nothing more.

Such a tie is written as a suspended one (`idp.rostering.write.waits`), and gives neither access nor a letter. The head
decides whether it is the suspended person; a record that was refused instead would leave a namesake without any way in.

The same holds, in every school, for a person with the names of a suspended account without ties; and, for one pupil,
for a new guardian with nearly the names of a person of whom the school confirmed that they are not the guardian.

Each of them is an issue, because it may be a namesake, except those of 3 (`statements.is_told`). A tie that the
database has keeps its own suspension.

A corrected name, of a guardian or of a pupil, may make a suspended person of a guardian who has not activated the
account. If the former names recognised nobody and the new ones do, the ties that the account has wait for the head as
new ones do, and the letter gives access to no pupil (`CorrectedLinkRow`). An activated account stays open, because its
person proved more than a name: the head compares the names (`ComparedLinkRow`). A name that the school corrects at the
desk is compared in the same way (`stopped_by_renaming`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from idp.accounts.suspensions.models import Wait
from idp.rostering.reconcile import known_suspensions, outcomes
from idp.rostering.reconcile.context import Context
from idp.rostering.reconcile.decide import Outcome
from idp.rostering.reconcile.known_suspensions import OpenTie
from idp.rostering.reconcile.outcomes import Fate
from idp.rostering.reconcile.phases.recognition import Judge, Link
from idp.rostering.reconcile.rows.bounds import (
    ComparedLinkRow,
    CorrectedLinkRow,
    ProtectedChildRow,
    StoppedLinkRow,
    SuspendedNameRow,
    SuspendedSchoolRow,
)
from idp.rostering.reconcile.staging import Staging
from idp.rostering.reconcile.statements import HERE, said_or_known
from idp.rostering.records import Severity

_PAGE = 1000
_WaitingAndCompared = tuple[list[CorrectedLinkRow], list[ComparedLinkRow]]


class _Correction(NamedTuple):
    """The new names of a guardian."""

    account: str
    civility: str
    given_name: str
    family_name: str
    birth_name: str


class _Pupil(NamedTuple):
    family_name: str
    given_name: str


class _Renamed(NamedTuple):
    """The new names of a pupil."""

    child: str
    family_name: str
    given_name: str


_STARTS = outcomes.with_fate("guardian", Fate.NEW)
_GOES_ON = outcomes.with_fate("guardian", Fate.KNOWN, Fate.ALIAS)
_FIELDS = ("civility", "given_name", "family_name", "birth_name")
_PUPIL_NAMES = {field: f"coalesce(s.{field}, c.{field}, '')" for field in _Pupil._fields}
_PROTECTED_NAME = " OR ".join(f"{name} IN (SELECT name FROM suspended_name)" for name in _PUPIL_NAMES.values())
_FROM_NEW = (
    "FROM student s CROSS JOIN link l ON l.student = s.key LEFT JOIN known_child c ON c.key = s.key {people} "
    f"WHERE s.fate IN {HERE} AND l.authority BETWEEN 1 AND :most AND {{is_new}} "
)
_FIELDS_OF_LINK = (
    "l.student AS student, l.guardian AS guardian, coalesce(s.child_id, '') AS child, s.uai AS uai, "
    f"c.key IS NULL AS is_new_pupil, {_PUPIL_NAMES['given_name']} AS pupil_given_name, "
    f"{_PUPIL_NAMES['family_name']} AS pupil_family_name, {_PROTECTED_NAME} AS is_protected_name, "
    "coalesce(k.id, '') AS account, {was_tied} AS was_tied, {names} "
)
_IS_COMPARED = (
    "AND (s.uai IN (SELECT uai FROM suspended_school) OR '' IN (SELECT uai FROM suspended_school) "
    f"OR s.child_id IN (SELECT child FROM protected_child) OR {_PROTECTED_NAME} "
    "OR s.child_id IN (SELECT child FROM known_link WHERE is_excluded))"
)
"""The links of the schools in which somebody is suspended, and of pupils with a name like that of a pupil there.

There are few, and only their people are compared.
"""
_IS_KNOWN = "EXISTS (SELECT 1 FROM known_link t WHERE t.child = s.child_id AND t.account = k.id{more})"
_WAS_TIED = _IS_KNOWN.format(more="")
_HOLDS_NOT = f"NOT {_IS_KNOWN.format(more=' AND NOT t.is_ended')}"
_OF_RECORDS = _FROM_NEW.format(
    people="CROSS JOIN guardian g ON g.key = l.guardian LEFT JOIN known_account k ON k.id = g.account_id",
    is_new=f"g.fate IS NULL AND (g.outcome IN {_STARTS} OR (g.outcome IN {_GOES_ON} AND {_HOLDS_NOT}))",
)
_WITHOUT_RECORD = _FROM_NEW.format(
    people="LEFT JOIN known_alias a ON a.key = l.guardian "
    "JOIN known_account k ON k.id = a.account OR (a.key IS NULL AND k.key = l.guardian)",
    is_new=f"l.guardian NOT IN (SELECT key FROM guardian) AND {_HOLDS_NOT}",
)
"""Links to accounts of which the files hold no record."""
_LINKS = (
    "SELECT "
    + _FIELDS_OF_LINK.format(
        was_tied=f"g.outcome IN {_GOES_ON} AND {_WAS_TIED}",
        names=", ".join(f"coalesce({said_or_known('g', 'k', field)}, '') AS {field}" for field in _FIELDS),
    )
    + _OF_RECORDS
    + _IS_COMPARED,
    "SELECT "
    + _FIELDS_OF_LINK.format(was_tied=_WAS_TIED, names=", ".join(f"k.{field} AS {field}" for field in _FIELDS))
    + _WITHOUT_RECORD
    + _IS_COMPARED,
)
_PUPILS = " UNION ".join(
    f"SELECT {', '.join(f'{name} AS {field}' for field, name in _PUPIL_NAMES.items())} {links}"
    for links in (_OF_RECORDS, _WITHOUT_RECORD)
)
"""The names of the pupils of new links, each once, in the order of family names."""

_RECOGNISED = f"SELECT guardian FROM stopped_link WHERE why = '{Wait.RECOGNISED}'"
_HOLDER = f"CASE WHEN g.key IS NULL THEN coalesce(a.account, k.id) WHEN g.outcome IN {_GOES_ON} THEN g.account_id END"
_STOP_OTHERS = (
    f"INSERT INTO stopped_link SELECT l.student, l.guardian, '{Wait.RECOGNISED}' "
    "FROM link l JOIN student s ON s.key = l.student LEFT JOIN guardian g ON g.key = l.guardian "
    "LEFT JOIN known_alias a ON a.key = l.guardian LEFT JOIN known_account k ON k.key = l.guardian "
    f"WHERE l.guardian IN ({_RECOGNISED}) AND s.fate IN {HERE} AND l.authority BETWEEN 1 AND :most "
    "AND NOT EXISTS (SELECT 1 FROM known_link t WHERE t.child = s.child_id AND NOT t.is_ended "
    f"AND t.account = {_HOLDER}) AND (l.student, l.guardian) NOT IN (SELECT student, guardian FROM stopped_link)"
)
"""The other new links of a recognised person: the account may be suspended as a whole."""
_DOUBT_CORRECTIONS = (
    f"UPDATE guardian SET outcome = '{Outcome.NAME_IN_DOUBT}' WHERE fate IS NULL "
    f"AND outcome = '{Outcome.NAME_CORRECTED}' AND (key IN (SELECT l.guardian FROM protected_child p "
    "JOIN student s ON s.child_id = p.child JOIN link l ON l.student = s.key) "
    "OR account_id IN (SELECT t.account FROM protected_child p JOIN known_link t ON t.child = p.child))"
)
"""A corrected name would make another person of a guardian who never got a letter, also if the tie ended meanwhile."""
_CORRECTIONS = (
    f"SELECT {', '.join(f'c.{field} AS {field}' for field in _Correction._fields)} "
    "FROM compared c JOIN guardian g ON g.key = c.key WHERE NOT c.is_alias AND g.fate IS NULL "
    f"AND g.outcome IN {outcomes.with_fate('guardian', Fate.KNOWN)} "
    f"AND ({', '.join(f'c.{name}' for name in _FIELDS)}) IS NOT ({', '.join(f'c.known_{name}' for name in _FIELDS)})"
)
_RENAMED_PUPILS = (
    f"SELECT c.id AS child, {', '.join(f'{name} AS {field}' for field, name in _PUPIL_NAMES.items())} "
    f"FROM student s JOIN known_child c ON c.key = s.key WHERE s.fate IN {HERE} "
    f"AND ({', '.join(_PUPIL_NAMES.values())}) IS NOT (c.family_name, c.given_name)"
)
_PUPIL_OF_FILES = f"SELECT family_name, given_name FROM ({_RENAMED_PUPILS}) WHERE child = :child"
_BY_NAMES = frozenset({Wait.RECOGNISED, Wait.ALIKE, Wait.CHECK})
_STOPPED = (
    "SELECT l.file, l.line, l.guardian FROM stopped_link w JOIN link l ON l.student = w.student "
    "AND l.guardian = w.guardian WHERE w.why = :why UNION SELECT g.file, g.line, g.key FROM corrected_link c "
    "JOIN guardian g ON g.key = c.guardian WHERE c.why = :why"
)
_WAITS = {
    Wait.RECOGNISED: "suspended",
    Wait.NEW_GUARDIAN: "guardian_waits",
    Wait.ALIKE: "guardian_waits",
}
"""The codes of the issues, by why the person waits."""
_MESSAGE = (
    "Cette personne attend la direction : elle n’a pas accès à l’élève tant que la direction n’a pas décidé, dans "
    "« Signalements »."
)
"""What all of them say: the secretary reads the issues, and the head alone reads in the notice why a person waits."""


def stop_suspended(context: Context) -> None:
    """Have the head decide about the people who are recognised as suspended ones, or may be."""
    staging, most = context.staging, context.most_authority
    people = known_suspensions.suspended_people(context.secrets)
    excluded = known_suspensions.excluded_people(staging)
    if not (people or excluded):
        return
    staging.insert(SuspendedSchoolRow, sorted({(person.uai,) for person in people}))
    staging.insert(ProtectedChildRow, sorted({(person.child,) for person in people if person.child}))
    judge = Judge(people, excluded)
    for pupils in staging.pages(_Pupil, _PUPILS, _PAGE, most=most):
        staging.insert(SuspendedNameRow, [(name,) for name in {*chain(*pupils)} if judge.is_protected_name(name)])
    for statement in _LINKS:
        for page in staging.pages(Link, statement, _PAGE, most=most):
            verdicts = ((link.student, link.guardian, judge.verdict(link)) for link in page)
            staging.insert(StoppedLinkRow, [verdict for verdict in verdicts if verdict[2]])
    staging.run(_STOP_OTHERS, most=most)
    staging.run(_DOUBT_CORRECTIONS)
    for corrections in list(staging.pages(_Correction, _CORRECTIONS, _PAGE)):
        _store(staging, _corrected(staging, judge, corrections))
    for renamed in list(staging.pages(_Renamed, _RENAMED_PUPILS, _PAGE)):
        _store(staging, _of_renamed(judge, renamed))
    for why, code in _WAITS.items():
        staging.tell_all(Severity.ERROR, code, _MESSAGE, _STOPPED, why=why)


def stopped_by_renaming(secrets: Sequence[bytes], account: str, names: Mapping[str, str]) -> _WaitingAndCompared:
    """Return the ties of an account that wait, and those that the head compares, if its person gets new names.

    Raises:
        UndecryptableError: no secret key decrypts the traces of an erased person.
    """
    ties = known_suspensions.open_ties(accounts=[account])
    excluded = known_suspensions.excluded_from([tie.child for tie in ties])
    judge = Judge(known_suspensions.suspended_people(secrets), excluded)
    stopped: list[tuple[OpenTie, Wait]] = []
    for tie in ties:
        person = [names.get(field, known) for field, known in zip(_FIELDS, tie.person, strict=True)]
        stopped += _stopped(judge, tie, _Pupil(*tie.pupil), person)
    return _waiting_and_compared(stopped)


def _store(staging: Staging, stopped: Iterable[tuple[OpenTie, Wait]]) -> None:
    waiting, compared = _waiting_and_compared(list(stopped))
    staging.insert(CorrectedLinkRow, waiting)
    staging.insert(ComparedLinkRow, compared)


def _waiting_and_compared(stopped: Sequence[tuple[OpenTie, Wait]]) -> _WaitingAndCompared:
    """Return the ties that wait, and those of activated accounts whose names the head compares."""
    return (
        [CorrectedLinkRow(tie.child, tie.account, tie.key, why) for tie, why in stopped if not tie.is_activated],
        [ComparedLinkRow(tie.child, tie.account) for tie, why in stopped if tie.is_activated and why in _BY_NAMES],
    )


def _corrected(staging: Staging, judge: Judge, corrections: Sequence[_Correction]) -> Iterator[tuple[OpenTie, Wait]]:
    """Yield the stopped ties of guardians with corrected names; the pupils may have some too."""
    by_account = {account: person for account, *person in corrections}
    for tie in known_suspensions.open_ties(accounts=list(by_account)):
        pupil = next(staging.rows(_Pupil, _PUPIL_OF_FILES, child=tie.child), _Pupil(*tie.pupil))
        yield from _stopped(judge, tie, pupil, by_account[tie.account])


def _of_renamed(judge: Judge, pupils: Sequence[_Renamed]) -> Iterator[tuple[OpenTie, Wait]]:
    """Yield the stopped ties to pupils with corrected names."""
    by_child = {child: _Pupil(*names) for child, *names in pupils}
    for tie in known_suspensions.open_ties(children=list(by_child)):
        yield from _stopped(judge, tie, by_child[tie.child], tie.person)


def _stopped(judge: Judge, tie: OpenTie, pupil: _Pupil, person: Sequence[str]) -> Iterator[tuple[OpenTie, Wait]]:
    """Yield a tie and why it is stopped, if the new names make a suspended person's tie of it.

    A pupil with another name may be another pupil's new number, so all guardians are compared as those of a new pupil.
    """
    is_renamed = pupil != tie.pupil
    former, why = (
        judge.verdict(_as_link(judge, tie, names, values, is_renamed=is_renamed))
        for names, values in ((_Pupil(*tie.pupil), tie.person), (pupil, person))
    )
    is_recognised = why in _BY_NAMES and former not in _BY_NAMES
    if why is not None and (is_recognised or (is_renamed and former is None)):
        yield tie, why


def _as_link(judge: Judge, tie: OpenTie, pupil: _Pupil, person: Sequence[str], *, is_renamed: bool) -> Link:
    """Return a tie of the database as a new link of a person with the values `person` of `_FIELDS`."""
    civility, given_name, family_name, birth_name = person
    return Link(
        student="",
        guardian=tie.key,
        child=tie.child,
        uai=tie.uai,
        is_new_pupil=is_renamed,
        pupil_given_name=pupil.given_name,
        pupil_family_name=pupil.family_name,
        is_protected_name=any(map(judge.is_protected_name, pupil)),
        account=tie.account,
        was_tied=False,
        civility=civility,
        given_name=given_name,
        family_name=family_name,
        birth_name=birth_name,
    )
