"""Adds the mistakes of real files to the families at a given rate, and counts them.

A household or a school has one mistake at most. The kinds are about equally frequent, except those that need siblings
or two parents. The counts hold for the files too, except in SIECLE and ONDE: a guardian with children in two schools is
in both schools' files.
"""

import enum
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from random import Random

from bench.academy.expected import is_there
from bench.academy.families import Household, Link, Person, Pupil
from bench.academy.schools import School

_FIRST_PERSON = 70_000_000
_NOBODY = 79_999_999
_LONG = 300
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"


class Kind(enum.Enum):
    """A kind of mistake; the value is what the command prints."""

    DUPLICATED_KEY = "duplicated_key"
    DANGLING_PARENT = "dangling_parent"
    WITHOUT_CLASS = "without_class"
    LONG_NAME = "long_name"
    IMPOSSIBLE_DATE = "impossible_date"
    TWO_FIRST = "two_first_representatives"
    BROKEN_LINK = "broken_link"
    UNKNOWN_ATTRIBUTE = "unknown_attribute"
    WRONG_UAI = "wrong_uai"
    NOT_A_MAIL = "not_a_mail"
    NEAR_DUPLICATE = "near_duplicate"


class Mistakes:
    """Adds mistakes.

    Args:
        rate: the share of the households, and of the schools, with a mistake: from 0 to 1.
        kinds: those that the format can have.
        seed: the same seed makes the same mistakes in the same families.

    Attributes:
        counts: the mistakes so far, by kind.
    """

    def __init__(self, rate: float, kinds: Collection[Kind] = tuple(Kind), *, seed: int = 0) -> None:
        if not 0 <= rate <= 1:
            raise ValueError("the rate must be from 0 to 1")
        self.counts: Counter[Kind] = Counter()
        self._rate = rate
        self._seed = seed
        self._kinds = [kind for kind in Kind if kind in kinds and kind in _CHANGES]
        self._uais = Kind.WRONG_UAI in kinds
        self._made = 0

    def schools(self, schools: Sequence[School]) -> list[School]:
        """Return the schools, some with a UAI whose control letter is wrong."""
        random = Random(f"{self._seed}/schools")
        return [self._misspelt(school) if random.random() < self._rate else school for school in schools]

    def households(self, households: Iterable[Household]) -> Iterator[Household]:
        """Yield the households, some with a mistake."""
        random = Random(f"{self._seed}/households")
        for household in households:
            yield self._mistaken(household, random) if random.random() < self._rate else household

    def _misspelt(self, school: School) -> School:
        if not self._uais:
            return school
        self.counts[Kind.WRONG_UAI] += 1
        after = _LETTERS.index(school.uai[-1]) + 1
        return school._replace(uai=school.uai[:-1] + _LETTERS[after % len(_LETTERS)])

    def _mistaken(self, household: Household, random: Random) -> Household:
        """Return the household with a mistake of a drawn kind, or of the next kind that it can have."""
        kinds = random.sample(self._kinds, len(self._kinds))
        for kind in kinds:
            changed = _CHANGES[kind](household, _FIRST_PERSON + self._made)
            if changed is not None:
                self._made += 1
                self.counts[kind] += 1
                return changed
        return household


def _with_person(household: Household, person: Person) -> Household:
    return household._replace(people=(person, *household.people[1:]))


def _with_pupil(household: Household, pupil: Pupil) -> Household:
    return household._replace(pupils=(pupil, *household.pupils[1:]))


def _duplicated_key(household: Household, _: int) -> Household:
    first = household.people[0]
    other = first._replace(family_name="LAMARCHE-VOISIN", birth_name="LAMARCHE-VOISIN", given_name="Philibert")
    return household._replace(people=(*household.people, other))


def _dangling_parent(household: Household, _: int) -> Household:
    pupil = household.pupils[0]
    return _with_pupil(household, pupil._replace(links=(*pupil.links, Link(_NOBODY, "90", 1, 0))))


def _without_class(household: Household, _: int) -> Household | None:
    pupil = household.pupils[0]
    return _with_pupil(household, pupil._replace(class_name="")) if is_there(pupil) else None


def _long_name(household: Household, _: int) -> Household:
    first = household.people[0]
    return _with_person(household, first._replace(family_name="É" * _LONG, birth_name="É" * _LONG))


def _impossible_date(household: Household, _: int) -> Household:
    pupil = household.pupils[0]
    return _with_pupil(household, pupil._replace(birth_date=f"31/02/{pupil.birth_date[-4:]}"))


def _two_first(household: Household, _: int) -> Household | None:
    pupil = household.pupils[0]
    if not any(link.rank > 1 for link in pupil.links):
        return None
    links = tuple(link._replace(rank=1) if link.rank else link for link in pupil.links)
    return _with_pupil(household, pupil._replace(links=links))


def _broken_link(household: Household, _: int) -> Household:
    pupil = household.pupils[0]
    return _with_pupil(household, pupil._replace(links=(pupil.links[0]._replace(broken=True), *pupil.links[1:])))


def _unknown_attribute(household: Household, _: int) -> Household:
    return _with_person(household, household.people[0]._replace(unknown="vert"))


def _not_a_mail(household: Household, _: int) -> Household:
    return _with_person(household, household.people[0]._replace(mail="parent.chez.exemple"))


def _near_duplicate(household: Household, key: int) -> Household | None:
    """Give the last of several pupils the same parent under another key, like a school that entered them again."""
    first, pupil = household.people[0], household.pupils[-1]
    if len(household.pupils) == 1 or pupil.links[0].person != first.key:
        return None
    pupil = pupil._replace(links=(pupil.links[0]._replace(person=key), *pupil.links[1:]))
    return household._replace(
        people=(*household.people, first._replace(key=key)), pupils=(*household.pupils[:-1], pupil)
    )


_CHANGES: dict[Kind, Callable[[Household, int], Household | None]] = {
    Kind.DUPLICATED_KEY: _duplicated_key,
    Kind.DANGLING_PARENT: _dangling_parent,
    Kind.WITHOUT_CLASS: _without_class,
    Kind.LONG_NAME: _long_name,
    Kind.IMPOSSIBLE_DATE: _impossible_date,
    Kind.TWO_FIRST: _two_first,
    Kind.BROKEN_LINK: _broken_link,
    Kind.UNKNOWN_ATTRIBUTE: _unknown_attribute,
    Kind.NOT_A_MAIL: _not_a_mail,
    Kind.NEAR_DUPLICATE: _near_duplicate,
}
