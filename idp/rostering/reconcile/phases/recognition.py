"""Recognises suspended people among those of new links; `idp.rostering.reconcile.phases.suspended` says who is one."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from idp.accounts.suspensions.models import Wait
from idp.accounts.suspensions.traces import Likeness, Names, TracesIndex, differ_in_civility, likeness
from idp.rostering.reconcile.known_suspensions import SuspendedPerson

_CACHED_NAMES = 10_000


class Link(NamedTuple):
    """A link that is new or holds again, with the names of its person.

    `is_protected_name` says that a name of the pupil is like one of a protected pupil. `account` is empty if the person
    has none. `was_tied` says that the account had this tie, which ended.
    """

    student: str
    guardian: str
    child: str
    uai: str
    is_new_pupil: bool
    pupil_given_name: str
    pupil_family_name: str
    is_protected_name: bool
    account: str
    was_tied: bool
    civility: str
    given_name: str
    family_name: str
    birth_name: str


class Judge:
    """Compares the people of new links with the suspended people, above all with those of the same school.

    Args:
        people: the people whose access is suspended, or was when they were erased.
        excluded: the people of whom the school confirmed that they are not guardians of a pupil.
    """

    def __init__(self, people: Sequence[SuspendedPerson], excluded: Sequence[SuspendedPerson] = ()) -> None:
        self.excluded = excluded
        self.by_child: dict[str, list[SuspendedPerson]] = {}
        self.by_school: dict[str, list[SuspendedPerson]] = {}
        for person in people:
            self.by_child.setdefault(person.child, []).append(person)
            self.by_school.setdefault(person.uai, []).append(person)
        self.protected = TracesIndex((person.pupil, person) for person in people)
        self.is_protected_name = lru_cache(maxsize=_CACHED_NAMES)(self._is_protected_name)

    def _is_protected_name(self, name: str) -> bool:
        """Return whether a name is like that of a pupil to whom somebody's access is suspended."""
        return self.protected.has_like(Names.of(given=[name], family=[name]))

    def verdict(self, link: Link) -> Wait | None:
        """Return why a link is stopped; None if it is not."""
        names = Names.of(link.guardian, link.civility, [link.given_name], [link.family_name, link.birth_name])
        of_school = self._of_returning(link, names) if link.was_tied else self._of_new(link, names)
        checks = (self._is_without_ties, self._is_pair_elsewhere, self._is_excluded)
        if of_school is None and any(check(link, names) for check in checks):
            return Wait.CHECK
        return of_school

    def _is_without_ties(self, _link: Link, names: Names) -> bool:
        """Return whether somebody has the names of a suspended account without ties, which is of no school."""
        return _most(names, self.by_school.get("", ())) is Likeness.SAME

    def _of_returning(self, link: Link, names: Names) -> Wait | None:
        """Return why a guardian is stopped who returns with the pupil, and keeps a suspension of their own."""
        others = [person for person in self._of_pupil(link) if person.account != link.account]
        alike = [person for person in others if not differ_in_civility(names, person.traces)]
        if _most(names, others) is Likeness.SAME:
            return Wait.RECOGNISED
        return Wait.ALIKE if _most(names, alike) is Likeness.NEAR else None

    def _of_new(self, link: Link, names: Names) -> Wait | None:
        """Return why another guardian is stopped by a suspension in the same school."""
        of_pupil, in_school = self._of_pupil(link), _most(names, self.by_school.get(link.uai, ()))
        alike = [person for person in of_pupil if not differ_in_civility(names, person.traces)]
        if in_school is Likeness.SAME or _most(names, alike) >= Likeness.NEAR:
            return Wait.RECOGNISED
        if of_pupil:
            return Wait.NEW_GUARDIAN
        return Wait.ALIKE if in_school is Likeness.NEAR else None

    def _is_pair_elsewhere(self, link: Link, names: Names) -> bool:
        """Return whether a pupil and a guardian have the names of a suspended person and the pupil elsewhere.

        One of the two may have nearly the names.
        """
        if not link.is_protected_name:
            return False
        pupil = _names_of_pupil(link)
        pairs = (
            (likeness(pupil, person.pupil), likeness(names, person.traces))
            for person in self.protected.candidates(pupil)
            if link.uai != person.uai and not (link.child and link.child == person.child)
        )
        return any(min(pair) >= Likeness.NEAR and max(pair) is Likeness.SAME for pair in pairs)

    def _is_excluded(self, link: Link, names: Names) -> bool:
        """Return whether somebody has the names, or nearly, of another account that is excluded from the pupil."""
        others = [row for row in self.excluded if row.child == link.child and row.account != link.account]
        return _most(names, [row for row in others if not differ_in_civility(names, row.traces)]) >= Likeness.NEAR

    def _of_pupil(self, link: Link) -> Sequence[SuspendedPerson]:
        """Return the people whose access to the pupil is suspended.

        A pupil without a suspension who has the names, or nearly, of a pupil of the school may be that pupil under
        another number: a new one, and one whom an earlier file brought.
        """
        own = [] if link.is_new_pupil else self.by_child.get(link.child, [])
        if own:
            return own
        pupil = _names_of_pupil(link)
        return [person for person in self.by_school.get(link.uai, ()) if likeness(pupil, person.pupil)]


def _names_of_pupil(link: Link) -> Names:
    return Names.of(given=[link.pupil_given_name], family=[link.pupil_family_name])


def _most(names: Names, people: Sequence[SuspendedPerson]) -> Likeness:
    """Return how much a person looks like the most similar of some suspended people."""
    return max((likeness(names, person.traces) for person in people), default=Likeness.NONE)
