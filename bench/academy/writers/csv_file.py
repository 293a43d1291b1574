"""Plain CSV files, as ENTs accept them: for each school one of pupils and one of responsible people, in UTF-8.

A pupil's number is SIECLE's. Each child of a person has numbered columns: id, kinship, authority.
"""

from collections.abc import Iterable, Iterator, Sequence

from bench.academy.families import Household, Person, Pupil
from bench.academy.mistakes import Kind
from bench.academy.schools import School
from bench.academy.writers.output import Output
from bench.academy.writers.representable import by_school
from bench.academy.writers.rows import table

ENCODING = "utf-8-sig"
MISTAKES = frozenset(Kind) - {Kind.TWO_FIRST, Kind.DANGLING_PARENT, Kind.UNKNOWN_ATTRIBUTE}

_PUPIL = ("Id", "Nom", "Prénom", "Date de naissance", "Classe", "Date de sortie", "UAI")
_GUARDIAN = (
    *("Id", "Civilité", "Nom", "Nom d'usage", "Prénom", "Adresse 1", "Adresse 2", "CP", "Commune", "Pays", "Courriel"),
    *("Téléphone portable", "UAI"),
)
_CHILD = ("Id enfant", "Parenté", "Autorité")


def write(output: Output, schools: Sequence[School], households: Iterable[Household]) -> None:
    """Write a pair of files for each school that has pupils, in a folder named by its UAI."""
    for school, group in by_school(households, schools):
        most = max(len(household.pupils) for household in group)
        children = (f"{name} {number}" for number in range(1, most + 1) for name in _CHILD)
        pupils = (_pupil(pupil, school.uai) for household in group for pupil in household.pupils)
        people = (_guardian(person, household, school.uai, most) for household in group for person in household.people)
        output.add(f"{school.uai}/eleves.csv", table((_PUPIL, *pupils)).encode(ENCODING))
        output.add(f"{school.uai}/responsables.csv", table(((*_GUARDIAN, *children), *people)).encode(ENCODING))


def _pupil(pupil: Pupil, uai: str) -> Sequence[str]:
    names = pupil.family_name, pupil.given_name
    return (str(pupil.student_id), *names, pupil.birth_date, pupil.class_name, pupil.left_on, uai)


def _guardian(person: Person, household: Household, uai: str, most: int) -> Sequence[str]:
    usual = person.family_name if person.family_name != person.birth_name else ""
    home = person.postal_address
    names = person.civility, person.birth_name, usual, person.given_name
    where = *home.lines, *[""] * (2 - len(home.lines)), home.postcode, home.city, "FRANCE"
    children = list(_children(person, household))
    empty = [""] * (len(_CHILD) * most - len(children))
    return (str(person.key), *names, *where, person.mail, person.mobile, uai, *children, *empty)


def _children(person: Person, household: Household) -> Iterator[str]:
    """Yield the cells of each child; the authority of a broken link is a letter."""
    for pupil in household.pupils:
        for link in pupil.links:
            if link.person == person.key:
                yield from (str(pupil.student_id), link.kinship, "X" if link.broken else str(link.authority))
