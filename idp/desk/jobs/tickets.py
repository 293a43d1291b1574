"""Tickets for the download of a file of a job.

The form gives a ticket, and the download needs it: a link of another site, or a browser that loads links in advance,
cannot spend a file that is handed out once.
"""

import uuid

from idp.config import Settings
from idp.desk import access
from idp.signed import InvalidValueError, Signer, signer

_SECONDS = 120
_PURPOSE = "desk file ticket"


def issue(settings: Settings, file_id: uuid.UUID) -> str:
    """Return a ticket of this person for a file. It is no proof that the person may take the file."""
    return _signer(settings).dumps(_value(file_id))


def is_valid(settings: Settings, file_id: uuid.UUID, ticket: str) -> bool:
    """Return whether this person got the ticket for this file in the last two minutes."""
    try:
        value, _ = _signer(settings).loads(ticket, _SECONDS)
    except InvalidValueError:
        return False
    return bool(value == _value(file_id))


def _signer(settings: Settings) -> Signer:
    return signer(settings.secrets, _PURPOSE)


def _value(file_id: uuid.UUID) -> list[str]:
    return [str(file_id), str(access.person().staff.id)]
