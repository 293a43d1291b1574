"""The refusal of a page at the desk."""

from typing import NoReturn

from flask import request

from idp.audit import log
from idp.audit.desk_events import DeskRefused
from idp.db import unit_of_work
from idp.web.errors import not_found


def refuse(subject: str = "") -> NoReturn:
    """Journal that a page was refused, and end the request as if there were no such page.

    What exists elsewhere and what does not exist take the same way.

    Raises:
        NotFound: always.
    """
    with unit_of_work():
        log.record(DeskRefused(page=request.endpoint or "", subject=subject))
    not_found()
