"""The refusal of a page at the desk, journaled so that a script of one person cannot fill the journal.

The first refusals of an hour are entries, each with its object. Then only those whose number is a power of two are, so
that a reader of the journal still learns how many there were.
"""

from typing import NoReturn

from flask import request

from idp.audit import log
from idp.audit.desk_events import DeskRefused
from idp.db import unit_of_work
from idp.desk.staff import sessions
from idp.throttle import guard
from idp.throttle.guard import Granted
from idp.throttle.limits import DESK_REFUSALS
from idp.web.errors import not_found

_ALL = 60
"""So many refusals of an hour are journaled one by one."""


def refuse(subject: str = "") -> NoReturn:
    """Journal that a page was refused, and end the request as if there were no such page.

    What exists elsewhere and what does not exist take the same way.

    Raises:
        NotFound: always.
    """
    note_refusal(request.endpoint or "", subject)
    not_found()


def note_refusal(page: str, subject: str) -> None:
    """Journal that a page was refused to the person of the request, in a transaction of its own.

    Args:
        page: the endpoint.
        subject: what the page is about: an id that is outside the scope, or a role.
    """
    person = sessions.current()
    taken = guard.take(DESK_REFUSALS, str(person.staff.id) if person else "")
    count = taken.count if isinstance(taken, Granted) else 0
    if not count or (count > _ALL and count & (count - 1)):
        return
    with unit_of_work():
        log.record(DeskRefused(page=page, subject=subject, count=count))
