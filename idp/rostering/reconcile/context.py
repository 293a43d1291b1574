"""Holds what the phases of an import share beside the staging database."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from idp.rostering.reconcile.staging import Staging
from idp.rostering.records import Mode

Tick = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """An import whose files have been read.

    Attributes:
        only_school: The UAI of the only school to import, or None.
        refuses_others: Whether the files are refused if they hold anything of another school.
        hides_others: Whether nothing tells people of other schools from unknown ones.
        most_authority: The last rank of authority that gets an account.
        today: The day against which leaving dates are compared.
        set_total: Called with the number of keys that will be compared with the database.
        tick: Called with the number of keys that a statement compared.
    """

    staging: Staging
    mode: Mode
    only_school: str | None
    refuses_others: bool
    hides_others: bool
    most_authority: int
    today: date
    set_total: Tick
    tick: Tick
