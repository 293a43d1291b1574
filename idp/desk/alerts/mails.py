"""The mail about an alert, to one head or engineer. It names the person of the desk or the school, and no family."""

import uuid
from datetime import date

from idp.accounts.models import School
from idp.config import Settings
from idp.db import db
from idp.desk.staff import mails
from idp.outbox.models import OutboxMessage
from idp.outbox.worker import Outcome


def hand_over(message: OutboxMessage, settings: Settings) -> Outcome:
    """Send the mail about an alert (outbox handler)."""
    payload = message.payload
    recipient = mails.find_recipient(payload["recipient"])
    if recipient is None:
        return Outcome.DROPPED
    school = db.session.get(School, uuid.UUID(payload["school"])) if payload["school"] else None
    return mails.send(
        message,
        settings,
        "bureau_alerte",
        recipient,
        link=f"{settings.desk_url}/journal",
        alert=payload["alert"],
        count=payload["count"],
        day=f"{date.fromisoformat(payload['day']):%d/%m/%Y}",
        colleague=mails.find_name(payload["staff"]),
        school=school.name if school else settings.academy,
    )
