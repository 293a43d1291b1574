"""The schools of an académie, town by town: a collège, a lycée or a second collège, and the écoles around them."""

from collections.abc import Sequence
from itertools import accumulate, groupby
from typing import NamedTuple

SCHOOL_YEAR = 2026
"""The year in which the school year begins, for all dates."""

_FIRST_NUMBER = 9_900_001
"""The first UAI: no département is numbered 990 to 999."""
_MOST = 99_999
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
_PER_TOWN = 8
_PER_CLASS = 26
_WEIGHTS = {"ECOLE": 1, "COLLEGE": 5, "LYCEE": 6}
"""The relative number of pupils of a school of each kind."""
_LEVELS = {
    "ECOLE": (("CP", 6), ("CE1", 7), ("CE2", 8), ("CM1", 9), ("CM2", 10)),
    "COLLEGE": (("6EME", 11), ("5EME", 12), ("4EME", 13), ("3EME", 14)),
    "LYCEE": (("2NDE ", 15), ("1ERE ", 16), ("TERM ", 17)),
}
"""The levels of each kind of school, and the age of their pupils in the year in which the school year begins."""
_NAMES = {"ECOLE": "ECOLE DES TILLEULS", "COLLEGE": "CLG DE LA RIVE", "LYCEE": "LYCEE DU PHARE"}
_BEGINNINGS = ("RIVE", "VAL", "CLAIR", "HAUTE", "PRÉ", "MONT", "BOIS", "FONT", "ROCHE", "SAINT-LOUP-")
_ENDS = ("BELLE", "LUNE", "SAUGE", "AUBE", "MARNIÈRE", "SORBIER", "ÉPINE", "FOUGÈRE", "GENÊT", "OSERAIE")


class Class(NamedTuple):
    """A class, and the year in which its pupils were born."""

    name: str
    born: int


class Town(NamedTuple):
    """A town: its number from 0, its unique name, and its postcode."""

    number: int
    name: str
    postcode: str


class School(NamedTuple):
    """A school. `number` counts from 0 over the académie; `key` is AAF's; `pupils` is approximate."""

    number: int
    key: int
    uai: str
    name: str
    kind: str
    town: Town
    pupils: int
    classes: tuple[Class, ...]


def uai(number: int) -> str:
    """Return the UAI of that number: the control letter is the number modulo 23."""
    return f"{number:07d}{_LETTERS[number % len(_LETTERS)]}"


def draw_schools(pupils: int, schools: int) -> list[School]:
    """Return the schools of an académie.

    Args:
        pupils: their number of pupils together.
        schools: from 1 to 99,999.

    Raises:
        ValueError: a number is out of range.
    """
    if not 1 <= schools <= _MOST or pupils < 0:
        raise ValueError(f"an académie has from 1 to {_MOST} schools, and no fewer than 0 pupils")
    total = sum(_WEIGHTS[_kind(number)] for number in range(schools))
    return [_school(number, pupils * _WEIGHTS[_kind(number)] // total) for number in range(schools)]


def by_town(schools: Sequence[School]) -> list[list[School]]:
    """Return the schools of each town."""
    return [list(group) for _, group in groupby(schools, key=lambda school: school.town.number)]


def shares(pupils: int, towns: Sequence[Sequence[School]]) -> list[int]:
    """Return the number of pupils of each town; the sum is `pupils`, exactly."""
    weights = list(accumulate(sum(_WEIGHTS[school.kind] for school in town) for town in towns))
    ends = [pupils * weight // weights[-1] for weight in weights]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


def wheel(town: Sequence[School]) -> tuple[School, ...]:
    """Return the schools of a town, each repeated by its weight: a pupil's school is drawn from it."""
    return tuple(school for school in town for _ in range(_WEIGHTS[school.kind]))


def _kind(number: int) -> str:
    town, place = divmod(number, _PER_TOWN)
    if place == 0:
        return "COLLEGE"
    if place == 1:
        return "COLLEGE" if town % 2 else "LYCEE"
    return "ECOLE"


def _school(number: int, pupils: int) -> School:
    kind = _kind(number)
    town = _town(number // _PER_TOWN)
    name = f"{_NAMES[kind]} {number % _PER_TOWN + 1}-{town.name}"
    return School(
        number, 52_000 + number, uai(_FIRST_NUMBER + number), name, kind, town, pupils, _classes(kind, pupils)
    )


def _town(number: int) -> Town:
    names = len(_BEGINNINGS) * len(_ENDS)
    again, which = divmod(number, names)
    name = _BEGINNINGS[which % len(_BEGINNINGS)] + _ENDS[which // len(_BEGINNINGS)]
    return Town(number, f"{name} {again + 1}" if again else name, f"99{number % 1000:03d}")


def _classes(kind: str, pupils: int) -> tuple[Class, ...]:
    levels = _LEVELS[kind]
    of_a_level = -(-pupils // (len(levels) * _PER_CLASS)) or 1
    return tuple(
        Class(f"{level}{number}", SCHOOL_YEAR - age) for level, age in levels for number in range(1, of_a_level + 1)
    )
