"""Lists of people by name under titles, as the pages about letters and reminders show them."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from flask_babel import gettext

from idp.desk.letter import words
from idp.letters.recipients import Skipped


@dataclass(frozen=True)
class Group:
    """A title of the page with the names of people below it."""

    title: str
    names: list[str]
    is_open: bool = False


MOST_OPEN = 50
"""More names than these are folded, by class."""


def getting_letters(people: Sequence[tuple[str, str]]) -> list[Group]:
    """Return who gets a letter: pairs of a class and a name, in the order of the letters."""
    if len(people) <= MOST_OPEN:
        title = gettext("Recevront un courrier : %(n)s", n=len(people))
        return [Group(title, [name for _, name in people], is_open=True)]
    by_class: dict[str, list[str]] = {}
    for class_name, name in people:
        by_class.setdefault(class_name or gettext("Sans classe"), []).append(name)
    title = gettext("Recevront un courrier")
    return [Group(f"{title}, {class_name} : {len(names)}", names) for class_name, names in by_class.items()]


def skipped_people(skipped: Sequence[Skipped], names: Mapping[uuid.UUID, str]) -> Iterator[Group]:
    """Yield the people who get no letter, for each reason; those without a name in `names` are not shown."""
    for skip, reason in words.SKIPS.items():
        people = sorted(
            names[entry.account_id] for entry in skipped if entry.skip == skip and entry.account_id in names
        )
        if people:
            yield Group(f"{reason} : {len(people)}", people)
