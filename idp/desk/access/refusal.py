"""The refusal of a page at the desk."""

from typing import NoReturn

from flask import request

from idp.desk import refusals
from idp.web.errors import not_found


def refuse(subject: str = "") -> NoReturn:
    """Journal that a page was refused, and end the request as if there were no such page.

    What exists elsewhere and what does not exist take the same way.

    Raises:
        NotFound: always.
    """
    refusals.note(request.endpoint or "", subject)
    not_found()
