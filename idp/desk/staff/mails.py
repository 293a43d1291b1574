"""Mails to the people of the desk: who still gets them, and how they are composed and sent."""

import uuid
from collections.abc import Collection
from typing import Any
from urllib.parse import urlencode

from idp.config import Settings
from idp.db import db
from idp.desk.staff.models import StaffAccount
from idp.mail.compose import compose
from idp.mail.smtp import deliver
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome


def find_recipient(key: str) -> StaffAccount | None:
    """Return the person with the key of a payload as the database has them now, or None if the person left."""
    person = db.session.get(StaffAccount, uuid.UUID(key), populate_existing=True)
    return None if person is None or person.disabled_at is not None else person


def find_name(key: str) -> str:
    """Return the name of the person with the key of a payload; empty without a key or a person."""
    person = db.session.get(StaffAccount, uuid.UUID(key)) if key else None
    return person.name if person else ""


def page_url(settings: Settings, path: str) -> str:
    """Return the link to a page of the desk; a person with several posts first chooses one."""
    return f"{settings.desk_url}/etablissements?{urlencode({'suite': path})}"


def send(
    message: OutboxMessage,
    settings: Settings,
    name: str,
    recipient: StaffAccount | str,
    *,
    link: str = "",
    shown_urls: Collection[str] = (),
    **context: Any,
) -> Outcome:
    """Send the mail `templates/mail/<name>/` for a message of the outbox.

    Args:
        message: the message, whose id the mail has.
        settings: those of this service.
        name: the name of the mail.
        recipient: the person, who is `person` in the templates; or the mail address of a school.
        link: a URL of the desk, which is `link` in the templates.
        shown_urls: URLs elsewhere that the mail shows: validated ones of an ENT.
        context: the other values of the templates.
    """
    email, person = (recipient, "") if isinstance(recipient, str) else (recipient.email, recipient.name)
    mail = compose(
        name,
        recipient=email,
        context={"person": person, "link": link, "is_staff": True, **context},
        message_id=f"{message.id}",
        settings=settings,
        other_urls=[link, *shown_urls],
    )
    deliver(mail, email)
    return Outcome.DONE
