"""Reduces a household to what a format can represent: some have no pupils who left, some only legal representatives."""

from collections.abc import Iterable, Iterator

from bench.academy.delta import without_strangers
from bench.academy.families import Household, Pupil
from bench.academy.schools import School


def without_left(households: Iterable[Household]) -> Iterator[Household]:
    """Yield households without the pupils who left, and without people responsible for none of the others."""
    for household in households:
        if not any(pupil.left_on for pupil in household.pupils):
            yield household
            continue
        left = staying(household)
        if left.pupils:
            yield left


def staying(household: Household) -> Household:
    """Return the household without the pupils who left; none may remain."""
    pupils = tuple(pupil for pupil in household.pupils if not pupil.left_on)
    return household if len(pupils) == len(household.pupils) else without_strangers(household._replace(pupils=pupils))


def legal(household: Household) -> Household:
    """Return the household with legal representatives only."""
    return without_strangers(household._replace(pupils=tuple(_legal(pupil) for pupil in household.pupils)))


def _legal(pupil: Pupil) -> Pupil:
    return pupil._replace(links=tuple(link for link in pupil.links if link.authority == 1))


def by_school(households: Iterable[Household], schools: Iterable[School]) -> Iterator[tuple[School, list[Household]]]:
    """Yield each school that has pupils, with its households, reduced to the pupils of that school.

    One town is held in memory: households come a town after the other, and nobody goes to school in another town.
    """
    known = {school.number: school for school in schools}
    town = -1
    of_school: dict[int, list[Household]] = {}
    for household in households:
        if household.town != town:
            yield from ((known[number], of_school[number]) for number in sorted(of_school))
            town, of_school = household.town, {}
        for number in {pupil.school.number: None for pupil in household.pupils}:
            of_school.setdefault(number, []).append(_in_school(household, number))
    yield from ((known[number], of_school[number]) for number in sorted(of_school))


def _in_school(household: Household, number: int) -> Household:
    pupils = tuple(pupil for pupil in household.pupils if pupil.school.number == number)
    if len(pupils) == len(household.pupils):
        return household
    return without_strangers(household._replace(pupils=pupils))
