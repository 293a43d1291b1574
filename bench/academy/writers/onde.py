"""ONDE's exports: for each school a CSV of pupils and one of responsible people, without keys, in Latin-1.

ONDE has no pupils who left, and identifies people by their names: the same person under two keys is two rows.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from bench.academy.families import Household, Person, Pupil
from bench.academy.mistakes import Kind
from bench.academy.schools import School
from bench.academy.writers.output import Output
from bench.academy.writers.representable import by_school, legal, without_left
from bench.academy.writers.rows import table

ENCODING = "ISO-8859-1"
MISTAKES = frozenset({Kind.WITHOUT_CLASS, Kind.LONG_NAME, Kind.IMPOSSIBLE_DATE, Kind.NOT_A_MAIL})

_PUPIL = (
    "Nom Elève", "Nom d'usage Elève", "Prénom Elève", "Date naissance", "Sexe", "Adresse1", "Cp1", "Commune1", "Pays1",
    "Adresse2", "Cp2", "Commune2", "Pays2", "Cycle", "Niveau", "Classe",
)  # fmt: skip
_GUARDIAN = (
    "Civilité Responsable", "Nom usage responsable", "Nom responsable", "Prénom responsable", "Adresse responsable",
    "CP responsable", "Commune responsable", "Pays", "Courriel", "Téléphone domicile", "Téléphone travail",
    "Téléphone portable",
)  # fmt: skip
_CHILD = ("Nom d'usage enfant", "Nom de famille enfant", "Prénom enfant", "Classes enfants")
_WITHOUT_MARK = str.maketrans(
    {"ı": "i", "İ": "I", "Đ": "D", "đ": "d", "ł": "l", "Ł": "L", "œ": "oe", "Œ": "OE", "’": "'"}
)


def representable(households: Iterable[Household]) -> Iterable[Household]:
    """Return the part of these households that ONDE can represent."""
    return map(legal, without_left(households))


def write(output: Output, schools: Sequence[School], households: Iterable[Household]) -> None:
    """Write a pair of files for each school that has pupils, in a folder named by its UAI."""
    for school, group in by_school(households, schools):
        most = max(len(household.pupils) for household in group)
        pupils = (_pupil(pupil, household) for household in group for pupil in household.pupils)
        people = (_guardian(person, household, most) for household in group for person in household.people)
        output.add(f"{school.uai}/ONDE_eleves.csv", _file((_PUPIL, *pupils)))
        output.add(f"{school.uai}/ONDE_responsables.csv", _file((_GUARDIAN + _CHILD * most, *people)))


def as_written(text: str) -> str:
    """Return a text reduced to Latin-1: other letters lose their marks."""
    if text.isascii():
        return text
    return "".join(map(_letter, text))


def _letter(letter: str) -> str:
    if ord(letter) < 256:  # noqa: PLR2004 - Latin-1 is the first 256 characters
        return letter
    reduced = letter.translate(_WITHOUT_MARK)
    if reduced == letter:
        reduced = unicodedata.normalize("NFD", letter)[0]
    return reduced if reduced.isascii() else "?"


def _file(rows: Iterable[Sequence[str]]) -> bytes:
    return as_written(table(rows)).encode(ENCODING)


def _pupil(pupil: Pupil, household: Household) -> list[str]:
    homes = {person.postal_address.key: person.postal_address for person in household.people}
    cells: list[str] = []
    for home in list(homes.values())[:2]:
        cells += [" ".join(home.lines), home.postcode, home.city, "FRANCE"]
    sex = "F" if pupil.female else "M"
    names = [pupil.family_name, "", pupil.given_name, pupil.birth_date, sex]
    return [*names, *cells, *[""] * (8 - len(cells)), "", "", pupil.class_name]


def _guardian(person: Person, household: Household, most: int) -> list[str]:
    usual = person.family_name if person.family_name != person.birth_name else ""
    home = person.postal_address
    row = [person.civility, usual, person.birth_name, person.given_name, " ".join(home.lines), home.postcode]
    row += [home.city, "FRANCE", person.mail, "", "", person.mobile]
    children = list(_children(person, household))
    return row + children + [""] * (len(_CHILD) * most - len(children))


def _children(person: Person, household: Household) -> Iterator[str]:
    for pupil in household.pupils:
        if any(link.person == person.key for link in pupil.links):
            yield from ("", pupil.family_name, pupil.given_name, pupil.class_name)
