"""Stops new accounts and new ties that would bypass a suspension.

If another software numbers the pupils or the guardians again, or if a file writes a name in another way, a suspended
person would otherwise get a new tie or a new account that is not suspended. So the new people of the schools in which
somebody is suspended are compared with the suspended people (`idp.accounts.suspensions.traces`):

1. A person is recognised who has the names of one whose access is suspended in the school, or nearly the names of one
   whose access to the same pupil is. Of the same pupil's guardians, one with another civility is another person: mother
   and father may have nearly the same names. All new ties of the record wait for the head, also those elsewhere.
2. Any other new guardian of that pupil, also if the pupil has another number now, waits for the head, and so does a
   person of another pupil of the school who has nearly the names.
3. A new pupil with a new guardian who both have the names of a suspended person and the pupil in another school may be
   these two: keys that contain the school change with it. The person waits for the head, who is told nothing more.

Such a tie is written as a suspended one (`idp.rostering.write.waits`), and gives neither access nor a letter. The head
decides whether it is the suspended person; a record that was refused instead would leave a namesake without any way in.

Each of them is an issue, because it may be a namesake. A tie that the database has keeps its own suspension.
"""

from collections.abc import Sequence
from typing import NamedTuple

from idp.accounts.suspensions.models import Wait
from idp.accounts.suspensions.traces import Likeness, Names, differ_in_civility, likeness
from idp.rostering.reconcile import known, outcomes
from idp.rostering.reconcile.context import Context
from idp.rostering.reconcile.decide import Outcome
from idp.rostering.reconcile.known import SuspendedPerson
from idp.rostering.reconcile.outcomes import Fate
from idp.rostering.reconcile.rows.bounds import ProtectedChildRow, StoppedLinkRow, SuspendedNameRow, SuspendedSchoolRow
from idp.rostering.reconcile.statements import HERE, said_or_known
from idp.rostering.records import Severity

_PAGE = 1000


class _Link(NamedTuple):
    """A link that is new or holds again, with the names of its person.

    `account` is empty if the person has none. `was_tied` says that the account had this tie, which ended.
    """

    student: str
    guardian: str
    child: str
    uai: str
    is_new_pupil: bool
    pupil_given_name: str
    pupil_family_name: str
    account: str
    was_tied: bool
    civility: str
    given_name: str
    family_name: str
    birth_name: str


_STARTS = outcomes.with_fate("guardian", Fate.NEW)
_GOES_ON = outcomes.with_fate("guardian", Fate.KNOWN, Fate.ALIAS)
_FIELDS = ("civility", "given_name", "family_name", "birth_name")
_LINKS = (
    "SELECT l.student AS student, l.guardian AS guardian, coalesce(s.child_id, '') AS child, s.uai AS uai, "
    "NOT EXISTS (SELECT 1 FROM known_child c WHERE c.key = s.key) AS is_new_pupil, "
    "coalesce(s.given_name, '') AS pupil_given_name, coalesce(s.family_name, '') AS pupil_family_name, "
    "coalesce(k.id, '') AS account, {was_tied} AS was_tied, {names} "
    "FROM student s CROSS JOIN link l ON l.student = s.key {people} "
    "WHERE (s.uai IN (SELECT uai FROM suspended_school) OR '' IN (SELECT uai FROM suspended_school) "
    "OR s.child_id IN (SELECT child FROM protected_child) "
    "OR (s.family_name IN (SELECT name FROM suspended_name) "
    "AND NOT EXISTS (SELECT 1 FROM known_child c WHERE c.key = s.key))) "
    f"AND s.fate IN {HERE} AND l.authority BETWEEN 1 AND :most "
)
"""The links of the schools in which somebody is suspended, and of new pupils with the family name of a pupil there.

There are few, and only their names are compared.
"""
_NEW_NAMES = (
    "SELECT DISTINCT s.family_name AS name FROM student s WHERE s.family_name IS NOT NULL "
    "AND NOT EXISTS (SELECT 1 FROM known_child c WHERE c.key = s.key)"
)
_IS_KNOWN = "EXISTS (SELECT 1 FROM known_link t WHERE t.child = s.child_id AND t.account = k.id{more})"
_WAS_TIED = _IS_KNOWN.format(more="")
_HOLDS_NOT = f"NOT {_IS_KNOWN.format(more=' AND NOT t.is_ended')}"
_OF_RECORDS = (
    _LINKS.format(
        was_tied=f"g.outcome IN {_GOES_ON} AND {_WAS_TIED}",
        names=", ".join(f"coalesce({said_or_known('g', 'k', field)}, '') AS {field}" for field in _FIELDS),
        people="CROSS JOIN guardian g ON g.key = l.guardian LEFT JOIN known_account k ON k.id = g.account_id",
    )
    + f"AND g.fate IS NULL AND (g.outcome IN {_STARTS} OR (g.outcome IN {_GOES_ON} AND {_HOLDS_NOT}))"
)
_WITHOUT_RECORD = (
    _LINKS.format(
        was_tied=_WAS_TIED,
        names=", ".join(f"k.{field} AS {field}" for field in _FIELDS),
        people="LEFT JOIN known_alias a ON a.key = l.guardian "
        "JOIN known_account k ON k.id = a.account OR (a.key IS NULL AND k.key = l.guardian)",
    )
    + f"AND l.guardian NOT IN (SELECT key FROM guardian) AND {_HOLDS_NOT}"
)
"""Links to accounts of which the files hold no record."""

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
_STOPPED = (
    "SELECT l.file, l.line, l.guardian FROM stopped_link w JOIN link l ON l.student = w.student "
    "AND l.guardian = w.guardian WHERE w.why = :why"
)
_IS_RECOGNISED = (
    "Porte le nom d’une personne dont l’accès est suspendu, ou l’était quand ses données ont été effacées : elle n’a "
    "pas accès à l’élève tant que la direction n’a pas décidé, dans « Signalements », si c’est une autre personne."
)
_WAITS = {
    Wait.NEW_GUARDIAN: (
        "L’accès d’une personne à un élève est suspendu, et le fichier ajoute un responsable : il n’a pas accès à "
        "l’élève tant que la direction n’a pas décidé, dans « Signalements », si c’est une autre personne."
    ),
    Wait.ALIKE: (
        "Porte presque le nom d’une personne dont l’accès est suspendu dans l’établissement : elle n’a pas accès à "
        "l’élève tant que la direction n’a pas décidé, dans « Signalements », si c’est une autre personne."
    ),
    Wait.CHECK: (
        "Nouveau responsable d’un nouvel élève, à vérifier : cette personne n’a pas accès à l’élève tant que la "
        "direction n’a pas répondu, dans « Signalements »."
    ),
}


def stop_suspended(context: Context) -> None:
    """Have the head decide about the people who are recognised as suspended ones, or may be."""
    staging, most = context.staging, context.most_authority
    people = known.suspended_people(context.secrets)
    if not people:
        return
    staging.insert(SuspendedSchoolRow, sorted({(person.uai,) for person in people}))
    staging.insert(ProtectedChildRow, sorted({(person.child,) for person in people if person.child}))
    judge = _Judge(people)
    names = (row for row in staging.rows(SuspendedNameRow, _NEW_NAMES) if judge.has_pupil_named(row.name))
    staging.insert(SuspendedNameRow, list(names))
    for statement in (_OF_RECORDS, _WITHOUT_RECORD):
        for page in staging.pages(_Link, statement, _PAGE, most=most):
            verdicts = ((link.student, link.guardian, judge.verdict(link)) for link in page)
            staging.insert(StoppedLinkRow, [verdict for verdict in verdicts if verdict[2]])
    staging.run(_STOP_OTHERS, most=most)
    staging.run(_DOUBT_CORRECTIONS)
    staging.tell_all(Severity.ERROR, "suspended", _IS_RECOGNISED, _STOPPED, why=Wait.RECOGNISED)
    for why, message in _WAITS.items():
        staging.tell_all(Severity.ERROR, "guardian_waits", message, _STOPPED, why=why)


class _Judge:
    """Compares the people of new links with the suspended people, above all with those of the same school."""

    def __init__(self, people: Sequence[SuspendedPerson]) -> None:
        self.by_child: dict[str, list[SuspendedPerson]] = {}
        self.by_school: dict[str, list[SuspendedPerson]] = {}
        for person in people:
            self.by_child.setdefault(person.child, []).append(person)
            self.by_school.setdefault(person.uai, []).append(person)
        self.of_pupils = [person for person in people if person.child]
        self.family_names = frozenset().union(*(person.pupil.family for person in self.of_pupils))

    def has_pupil_named(self, family_name: str) -> bool:
        """Return whether a pupil to whom somebody's access is suspended has a family name."""
        return any(not name.whole.isdisjoint(self.family_names) for name in Names.of(family=[family_name]).family)

    def verdict(self, link: _Link) -> Wait | None:
        """Return why a link is stopped; None if it is not."""
        names = Names.of(link.guardian, link.civility, [link.given_name], [link.family_name, link.birth_name])
        of_pupil, of_school = self._of_pupil(link), self.by_school.get(link.uai, ())
        if link.was_tied:  # a guardian who returns with the pupil, and keeps a suspension of their own
            others = [person for person in of_pupil if person.account != link.account]
            alike = [person for person in others if not differ_in_civility(names, person.traces)]
            if _most(names, others) is Likeness.SAME:
                return Wait.RECOGNISED
            return Wait.ALIKE if _most(names, alike) is Likeness.NEAR else None
        in_school = _most(names, of_school)
        alike = [person for person in of_pupil if not differ_in_civility(names, person.traces)]
        if (
            in_school is Likeness.SAME
            or _most(names, alike) >= Likeness.NEAR
            or _most(names, self.by_school.get("", ())) is Likeness.SAME
        ):
            return Wait.RECOGNISED
        if of_pupil:
            return Wait.NEW_GUARDIAN
        if in_school is Likeness.NEAR:
            return Wait.ALIKE
        return Wait.CHECK if self._is_pair_elsewhere(link, names) else None

    def _is_pair_elsewhere(self, link: _Link, names: Names) -> bool:
        """Return whether a new pupil and guardian have the names of a suspended person and the pupil elsewhere."""
        if not link.is_new_pupil or link.account:
            return False
        pupil = Names.of(given=[link.pupil_given_name], family=[link.pupil_family_name])
        return any(
            likeness(pupil, person.pupil) is Likeness.SAME and likeness(names, person.traces) is Likeness.SAME
            for person in self.of_pupils
            if person.uai != link.uai
        )

    def _of_pupil(self, link: _Link) -> Sequence[SuspendedPerson]:
        """Return the people whose access to the pupil is suspended.

        A new pupil who has the names, or nearly, of a pupil of the school may be that pupil under another number.
        """
        if not link.is_new_pupil:
            return self.by_child.get(link.child, ())
        pupil = Names.of(given=[link.pupil_given_name], family=[link.pupil_family_name])
        return [person for person in self.by_school.get(link.uai, ()) if likeness(pupil, person.pupil)]


def _most(names: Names, people: Sequence[SuspendedPerson]) -> Likeness:
    """Return how much a person looks like the most similar of some suspended people."""
    return max((likeness(names, person.traces) for person in people), default=Likeness.NONE)
