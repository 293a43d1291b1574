"""What waits for a person today: each slice of the desk may add tiles to the first page."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from idp.desk import access
from idp.desk.access import Right


@dataclass(frozen=True)
class Tile:
    """Something that waits: how many, of what, and the page where it is settled."""

    count: int
    title: str
    sentence: str
    url: str


Source = Callable[[], Iterable[Tile]]
_sources: list[tuple[Right, Source]] = []


def source(right: Right) -> Callable[[Source], Source]:
    """Register a function that returns tiles for people whose role has `right`."""

    def register(function: Source) -> Source:
        _sources.append((right, function))
        return function

    return register


def waiting() -> Iterator[Tile]:
    """Yield the tiles of the person's post that have a number."""
    for right, function in _sources:
        if access.may(right):
            yield from (tile for tile in function() if tile.count)
