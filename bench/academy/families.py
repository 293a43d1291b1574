"""The families of an académie: homes, guardians, classes.

A household is a group of pupils with the same guardians. Its people may live at two addresses, its pupils may go to two
schools of the town. It contains the difficulties of real files: see `Household`.
"""

from collections.abc import Iterator
from itertools import count
from random import Random
from typing import NamedTuple

from bench.academy.names import family_name, given_name
from bench.academy.schools import SCHOOL_YEAR, School, by_town, draw_schools, shares, wheel

MOTHER, FATHER, TUTOR, RELATIVE, CHILD_MINDER = "10", "20", "50", "39", "43"
"""SDET's codes of kinship."""

LEFT_ON = f"18/09/{SCHOOL_YEAR}"
"""The leaving date of pupils who left."""

_FIRST_PERSON = 10_000_000
_FIRST_PUPIL = 30_000_000
_FIRST_STUDENT_ID = 700_000
_SIZES = (1,) * 62 + (2,) * 28 + (3,) * 8 + (4,) * 2
_COUPLE, _SEPARATED, _ALONE = 0.62, 0.82, 0.97
"""Of a hundred households 62 are couples, 20 are separated parents, 15 are a parent alone, 3 have a tutor."""
_TO_CALL = 0.33
_IN_CHARGE = 0.10
_TWO_KEYS = 0.06
_STAYS = 0.45
_WITHOUT_CLASS = 0.02
_LEFT = 0.01
_HAS_MAIL = 0.7
_SHARES_MAIL = 0.1
_STREETS = (
    "rue des Tilleuls", "rue du Four à Pain", "allée de l'Écluse", "boulevard des Alliés", "chemin des Prés & Vergers",
    "place de l'Église", "impasse du Puits", "avenue Léon-Jolivet", "quai de la Marine", "rue Neuve",
)  # fmt: skip


class PostalAddress(NamedTuple):
    """A postal address; each belongs to one household."""

    key: int
    lines: tuple[str, ...]
    postcode: str
    city: str


class Person(NamedTuple):
    """A person responsible for pupils. `key` is the join key in every format that has keys."""

    key: int
    civility: str
    family_name: str
    birth_name: str
    given_name: str
    postal_address: PostalAddress
    mail: str
    mobile: str
    diffusion: bool
    unknown: str = ""


class Link(NamedTuple):
    """The tie between a person and a pupil.

    Attributes:
        person: the person's key.
        rank: 1 for the first legal representative, 2 for the second, 0 for others, as in old SIECLE files.
        broken: whether the tie is written so that it cannot be read.
    """

    person: int
    kinship: str
    authority: int
    rank: int
    broken: bool = False


class Pupil(NamedTuple):
    """A pupil. `class_name` is empty without a class, `left_on` if the pupil is still there."""

    key: int
    student_id: int
    school: School
    family_name: str
    given_name: str
    female: bool
    birth_date: str
    class_name: str
    left_on: str
    links: tuple[Link, ...]
    unknown: str = ""


class Household(NamedTuple):
    """Pupils with the people responsible for them.

    The people may be: one or two legal representatives (authority 1), at one address or two; a tutor; a person in
    charge of the pupil (2), a person to be called (3); and one legal representative a second time, under another key,
    for the last of the pupils.
    """

    number: int
    town: int
    people: tuple[Person, ...]
    pupils: tuple[Pupil, ...]


def families(seed: int, pupils: int, schools: int) -> Iterator[Household]:
    """Yield the households of an académie, a town after the other, in constant memory.

    The same three numbers always give the same households. There are about three responsible people to two pupils.

    Args:
        seed: any number.
        pupils: their exact number.
        schools: from 1 to 99,999.

    Raises:
        ValueError: the number of schools is not possible.
    """
    towns = by_town(draw_schools(pupils, schools))
    numbers = count()
    people = count(_FIRST_PERSON)
    children = count()
    for number, (town, size) in enumerate(zip(towns, shares(pupils, towns), strict=True)):
        yield from _Town(Random(f"{seed}/{number}"), town, numbers, people, children).households(size)


class _Town:
    """Draws the households of a town."""

    def __init__(
        self,
        random: Random,
        schools: list[School],
        numbers: Iterator[int],
        people: Iterator[int],
        pupils: Iterator[int],
    ) -> None:
        self._random = random
        self._draw = random.random
        self._wheel = wheel(schools)
        self._name = schools[0].town
        self._numbers = numbers
        self._people = people
        self._pupils = pupils
        self._houses = count()
        self._taken: set[tuple[int, str, str, str]] = set()

    def households(self, pupils: int) -> Iterator[Household]:
        draw = self._draw
        while pupils > 0:
            size = min(pupils, _SIZES[int(draw() * len(_SIZES))])
            pupils -= size
            yield self._household(size)

    def _household(self, size: int) -> Household:
        family = family_name(self._random)
        people, links = self._responsible(family)
        pupils = []
        school = None
        for _ in range(size):
            school = self._school(school)
            pupils.append(self._pupil(family, school, links))
        if size > 1 and self._draw() < _TWO_KEYS:
            twin = people[0]._replace(key=next(self._people))
            people.append(twin)
            pupils[-1] = pupils[-1]._replace(links=(links[0]._replace(person=twin.key), *links[1:]))
        return Household(next(self._numbers), self._name.number, tuple(people), tuple(pupils))

    def _responsible(self, family: str) -> tuple[list[Person], tuple[Link, ...]]:
        """Draw the people responsible for pupils of that name, the legal representatives first."""
        draw = self._draw
        home = self._address()
        kind = draw()
        if kind < _SEPARATED:
            mother = self._person("Mme", family if kind < _COUPLE else "", home)
            father = self._person("M.", family, home if kind < _COUPLE else self._address())
            if mother.mail and draw() < _SHARES_MAIL:
                father = father._replace(mail=mother.mail)
            people = [mother, father]
            links = [Link(mother.key, MOTHER, 1, 1), Link(father.key, FATHER, 1, 2)]
        elif kind < _ALONE:
            kinship = MOTHER if draw() < 0.85 else FATHER  # noqa: PLR2004 - most parents alone are mothers
            people = [self._person("Mme" if kinship == MOTHER else "M.", family, home)]
            links = [Link(people[0].key, kinship, 1, 1)]
        else:
            people = [self._person("M." if draw() < 0.5 else "Mme", "", home)]  # noqa: PLR2004 - one or the other
            links = [Link(people[0].key, TUTOR, 1, 1)]
        if draw() < _IN_CHARGE:
            people.append(self._person("Mme", "", home))
            links.append(Link(people[-1].key, CHILD_MINDER, 2, 0))
        if draw() < _TO_CALL:
            people.append(self._person("M.", "", self._address()))
            links.append(Link(people[-1].key, RELATIVE, 3, 0))
        return people, tuple(links)

    def _person(self, civility: str, family: str, postal_address: PostalAddress) -> Person:
        """Draw a person of that family name, or of another if it is empty."""
        draw = self._draw
        key = next(self._people)
        female = civility == "Mme"
        own = family_name(self._random) if female or not family else family
        usual = family or own
        if female and family and draw() < 0.15:  # noqa: PLR2004 - some have both names
            usual = f"{family}-{own}"
        return Person(
            key,
            civility,
            usual,
            own,
            given_name(self._random, female=female),
            postal_address,
            f"parent{key}@exemple.fr" if draw() < _HAS_MAIL else "",
            f"063998{key % 10_000:04d}",
            draw() < 0.8,  # noqa: PLR2004 - one in five refuses
        )

    def _address(self) -> PostalAddress:
        house = next(self._houses)
        number, street = divmod(house, len(_STREETS))
        lines: tuple[str, ...] = (f"{number + 1} {_STREETS[street]}",)
        if self._draw() < 0.2:  # noqa: PLR2004 - one home in five is a flat
            lines = ("Résidence « Les Ajoncs »" if street % 2 else "Bât. B, apt 12", *lines)
        return PostalAddress(self._name.number * 1_000_000 + house, lines, self._name.postcode, self._name.name)

    def _school(self, before: School | None) -> School:
        """Draw a pupil's school, given the school of the child before in the same household."""
        if before is not None and self._draw() < _STAYS:
            return before
        return self._wheel[int(self._draw() * len(self._wheel))]

    def _pupil(self, family: str, school: School, links: tuple[Link, ...]) -> Pupil:
        draw = self._draw
        number = next(self._pupils)
        room = school.classes[int(draw() * len(school.classes))]
        class_name = "" if draw() < _WITHOUT_CLASS else room.name
        female = draw() < 0.5  # noqa: PLR2004 - half of the pupils
        given = self._given(school, class_name, family, female=female)
        birth_date = f"{int(draw() * 28) + 1:02d}/{int(draw() * 12) + 1:02d}/{room.born}"
        left_on = LEFT_ON if draw() < _LEFT else ""
        return Pupil(
            _FIRST_PUPIL + number,
            _FIRST_STUDENT_ID + number,
            school,
            family,
            given,
            female,
            birth_date,
            class_name,
            left_on,
            links,
        )

    def _given(self, school: School, class_name: str, family: str, *, female: bool) -> str:
        """Draw a given name that is unique with the family name in the class, since ONDE has no other key."""
        given = given_name(self._random, female=female)
        while (known := (school.number, class_name, family, given)) in self._taken:
            given = f"{given}-{given_name(self._random, female=female)}"
        self._taken.add(known)
        return given
