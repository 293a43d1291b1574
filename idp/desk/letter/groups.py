"""Lists of people by name under titles, as the pages about letters and reminders show them."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from idp.desk.letter import words
from idp.letters.recipients import Skipped


@dataclass(frozen=True)
class Group:
    """A title of the page with the names of people below it."""

    title: str
    names: list[str]
    is_open: bool = False


def skipped_people(skipped: Sequence[Skipped], names: Mapping[uuid.UUID, str]) -> Iterator[Group]:
    """Yield the people who get no letter, for each reason; those without a name in `names` are not shown."""
    for skip, reason in words.SKIPS.items():
        people = sorted(
            names[entry.account_id] for entry in skipped if entry.skip == skip and entry.account_id in names
        )
        if people:
            yield Group(f"{reason} : {len(people)}", people)
