"""Limits how many accesses one person of a school closes: by suspensions and by calls, counted together."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask_babel import lazy_gettext as _l

from idp.desk import access
from idp.desk.staff.models import Role
from idp.throttle import guard, limits
from idp.throttle.guard import Wait
from idp.throttle.limits import Budget

_BUDGETS: Mapping[Role, tuple[Budget, Any]] = {
    Role.SECRETARY: (
        limits.SECRETARY_CLOSINGS,
        _l(
            "Vous avez fermé cinq accès en une heure, ou quinze en un jour : c’est le maximum. La direction peut en "
            "fermer d’autres."
        ),
    ),
    Role.HEAD: (
        limits.HEAD_CLOSINGS,
        _l("Vous avez fermé vingt accès en une heure : c’est le maximum. Attendez une heure pour en fermer d’autres."),
    ),
}


class TooManyError(Exception):
    """The person closed as many accesses as one may; `sentence` says so, in French."""

    def __init__(self, sentence: Any) -> None:
        super().__init__(str(sentence))
        self.sentence = str(sentence)


@dataclass
class Closing:
    """An access that is being closed; it counts if it `is_news`: not if it was refused, or is a second click."""

    is_news: bool = False


@contextmanager
def counted() -> Iterator[Closing]:
    """Count an access that the person closes, in all their schools together.

    Raises:
        TooManyError: the person closed as many as one may.
        RuntimeError: a unit of work is open.
    """
    (limit, sentence), person = _BUDGETS[access.role()], str(access.person().staff.id)
    if isinstance(guard.take(limit, person), Wait):
        raise TooManyError(sentence)
    closing = Closing()
    try:
        yield closing
    finally:
        if not closing.is_news:
            guard.uncount(limit, person)
