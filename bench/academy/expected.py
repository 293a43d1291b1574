"""The accounts that a household must produce, in any format.

A legal representative (authority 1) gets an account, with those children who have a class and have not left. Formats
without ids contain less: ONDE has no keys and no pupils' numbers, AAF 1D no pupils' numbers.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bench.academy.families import Household, Pupil, families


class Child(NamedTuple):
    """A child of an account, as ENTs must receive it. `key` is the pupil's key in AAF."""

    key: int
    student_id: int
    family_name: str
    given_name: str
    birth_date: str
    class_name: str
    uai: str


class Guardian(NamedTuple):
    """A person who must get an account: names verbatim, and the children in the order of their keys.

    `same_as` is the same person's lower join key, if there is one; 0 for nearly all.
    """

    key: int
    same_as: int
    civility: str
    family_name: str
    birth_name: str
    given_name: str
    mail: str
    postal_address: tuple[str, ...]
    postcode: str
    city: str
    children: tuple[Child, ...]


class Family(NamedTuple):
    """The accounts of a household, by key; empty if all its pupils have left or have no class."""

    number: int
    guardians: tuple[Guardian, ...]


def expected(seed: int, pupils: int, schools: int) -> Iterator[Family]:
    """Yield the expected result of `families` with the same numbers, a household after the other."""
    return accounts(families(seed, pupils, schools))


def accounts(households: Iterable[Household]) -> Iterator[Family]:
    """Yield the expected result of these households, for example of those after a Delta."""
    for household in households:
        yield Family(household.number, tuple(_guardians(household)))


def is_there(pupil: Pupil) -> bool:
    """Return whether this pupil gives the family an account."""
    return bool(pupil.class_name) and not pupil.left_on


def _guardians(household: Household) -> Iterator[Guardian]:
    seen: dict[tuple[str, str, int], int] = {}
    for person in household.people:
        children = tuple(
            _child(pupil)
            for pupil in household.pupils
            if is_there(pupil) and any(link.person == person.key and link.authority == 1 for link in pupil.links)
        )
        first = seen.setdefault((person.family_name, person.given_name, person.postal_address.key), person.key)
        if children:
            home = person.postal_address
            yield Guardian(
                person.key,
                first if first != person.key else 0,
                person.civility,
                person.family_name,
                person.birth_name,
                person.given_name,
                person.mail,
                home.lines,
                home.postcode,
                home.city,
                children,
            )


def _child(pupil: Pupil) -> Child:
    return Child(
        pupil.key,
        pupil.student_id,
        pupil.family_name,
        pupil.given_name,
        pupil.birth_date,
        pupil.class_name,
        pupil.school.uai,
    )
