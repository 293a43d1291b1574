"""Limits how many accesses one person of a school closes: by closings and by calls, counted together."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from idp.desk import access
from idp.throttle import guard
from idp.throttle.guard import Wait


class TooManyError(Exception):
    """The person closed as many accesses as one may; `sentence` says so, in French."""

    def __init__(self, sentence: Any) -> None:
        super().__init__(str(sentence))
        self.sentence = str(sentence)


@dataclass
class Tally:
    """An access that is being closed; it counts if it `is_news`: not if it was refused, or is a second click."""

    is_news: bool = False


@contextmanager
def counted() -> Iterator[Tally]:
    """Count an access that the person closes, in all their schools together.

    Raises:
        TooManyError: the person closed as many as one may.
        RuntimeError: a unit of work is open.
    """
    closings, person = access.own_spec().closings, str(access.person().staff.id)
    limit = closings.budget if closings else None
    if closings is None or limit is None:
        access.refuse()
    if isinstance(guard.take(limit, person), Wait):
        raise TooManyError(closings.refusal)
    tally = Tally()
    try:
        yield tally
    finally:
        if not tally.is_news:
            guard.uncount(limit, person)
