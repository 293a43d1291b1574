"""Changes families by a few weeks: the households before and after, from which an AAF Delta is written."""

import enum
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import NamedTuple

from bench.academy.families import Household, Person, PostalAddress, Pupil
from bench.academy.names import family_name, given_name
from bench.academy.schools import School, by_town

_FIRST_PERSON = 15_000_000
_FIRST_PUPIL = 40_000_000
_FIRST_STUDENT_ID = 5_000_000
_FIRST_ADDRESS = 2_000_000_000


class Event(enum.Enum):
    """A change of a household; the value is what the command prints."""

    CLASS = "another_class"
    SCHOOL = "another_school"
    SIBLING = "sibling"
    NEW_ADDRESS = "another_address"
    GONE = "pupil_gone"
    ARRIVED = "family_arrived"


class Change(NamedTuple):
    """A household before and after. It is empty before its arrival, and after its only pupil has left."""

    event: Event
    before: Household
    after: Household


def changes(
    households: Iterable[Household], schools: Sequence[School], rate: float, *, seed: int = 0
) -> Iterator[Household | Change]:
    """Yield each household unchanged, or as a change, at the given rate; new families arrive in between.

    Args:
        households: those of `families`.
        schools: those of `draw_schools`: pupils change between schools of their town.
        rate: the share of the households that change: from 0 to 1.
        seed: the same seed makes the same changes.
    """
    random = Random(f"{seed}/delta")
    towns = by_town(schools)
    events = tuple(Event)
    for household in households:
        if random.random() >= rate:
            yield household
            continue
        event = events[int(random.random() * len(events))]
        if event is Event.ARRIVED:
            yield household
            arrived = _arrived(household, random)
            yield Change(event, arrived._replace(people=(), pupils=()), arrived)
        else:
            yield _change(event, household, towns[household.town], random)


def after(changed: Iterable[Household | Change]) -> Iterator[Household]:
    """Yield the households as they are after all changes, for `expected.accounts`."""
    for item in changed:
        yield item.after if isinstance(item, Change) else item


def _change(event: Event, household: Household, town: Sequence[School], random: Random) -> Change:
    pupil = household.pupils[0]
    match event:
        case Event.SCHOOL if len(town) > 1:
            others = [school for school in town if school.number != pupil.school.number]
            changed = _with_pupil(household, _placed(pupil, random.choice(others), random))
        case Event.SIBLING:
            changed = household._replace(pupils=(*household.pupils, _sibling(household, random)))
        case Event.NEW_ADDRESS:
            moved = household.people[0]._replace(postal_address=_new_address(household))
            changed = household._replace(people=(moved, *household.people[1:]))
        case Event.GONE:
            changed = without_strangers(household._replace(pupils=household.pupils[1:]))
        case _:
            event = Event.CLASS
            changed = _with_pupil(household, _placed(pupil, pupil.school, random))
    return Change(event, household, changed)


def without_strangers(household: Household) -> Household:
    """Return the household without people who are responsible for none of its pupils."""
    responsible = {link.person for pupil in household.pupils for link in pupil.links}
    people = tuple(person for person in household.people if person.key in responsible)
    return household if len(people) == len(household.people) else household._replace(people=people)


def _with_pupil(household: Household, pupil: Pupil) -> Household:
    return household._replace(pupils=(pupil, *household.pupils[1:]))


def _placed(pupil: Pupil, school: School, random: Random) -> Pupil:
    """Return the pupil in another class of that school, unless it has only one."""
    names = [room.name for room in school.classes]
    others = [name for name in names if name != pupil.class_name or school is not pupil.school]
    return pupil._replace(school=school, class_name=random.choice(others or names))


def _sibling(household: Household, random: Random) -> Pupil:
    elder = household.pupils[0]
    female = random.random() < 0.5  # noqa: PLR2004 - half of the pupils
    younger = elder._replace(
        key=_FIRST_PUPIL + household.number * 10,
        student_id=_FIRST_STUDENT_ID + household.number * 10,
        given_name=given_name(random, female=female),
        female=female,
        left_on="",
    )
    return _placed(younger, elder.school, random)


def _arrived(model: Household, random: Random) -> Household:
    """Return a family like `model`, with new keys and names."""
    family = family_name(random)
    keys = {person.key: _FIRST_PERSON + model.number * 10 + rank for rank, person in enumerate(model.people)}
    people = tuple(_newcomer(person, keys[person.key], family, random) for person in model.people)
    pupils = tuple(
        pupil._replace(
            key=_FIRST_PUPIL + model.number * 10 + rank,
            student_id=_FIRST_STUDENT_ID + model.number * 10 + rank,
            family_name=family,
            given_name=given_name(random, female=pupil.female),
            links=tuple(link._replace(person=keys[link.person]) for link in pupil.links),
        )
        for rank, pupil in enumerate(model.pupils)
    )
    postal_address = _new_address(model)
    moved = tuple(person._replace(postal_address=postal_address) for person in people)
    return model._replace(people=moved, pupils=pupils)


def _newcomer(person: Person, key: int, family: str, random: Random) -> Person:
    return person._replace(
        key=key,
        family_name=family,
        birth_name=family,
        given_name=given_name(random, female=person.civility == "Mme"),
        mail=f"parent{key}@exemple.fr" if person.mail else "",
    )


def _new_address(household: Household) -> PostalAddress:
    home = household.people[0].postal_address
    line = f"{household.number + 1} route de la Gare"
    return PostalAddress(_FIRST_ADDRESS + household.number, (line,), home.postcode, home.city)
