"""The mail about an alert, to one head or engineer. It names the person of the desk or the school, and no family."""

import uuid
from datetime import date

from idp.accounts.models import School
from idp.config import Settings
from idp.db import db
from idp.desk.staff.models import StaffAccount
from idp.mail.compose import compose
from idp.mail.deliver import deliver
from idp.outbox.models import OutboxMessage
from idp.outbox.worker import Outcome


def hand_over(message: OutboxMessage, settings: Settings) -> Outcome:
    """Send the mail about an alert (outbox handler)."""
    payload = message.payload
    recipient = db.session.get(StaffAccount, uuid.UUID(payload["recipient"]), populate_existing=True)
    if recipient is None or recipient.disabled_at is not None:
        return Outcome.DROPPED
    staff = db.session.get(StaffAccount, uuid.UUID(payload["staff"])) if payload["staff"] else None
    school = db.session.get(School, uuid.UUID(payload["school"])) if payload["school"] else None
    link = f"{settings.desk_url}/journal"
    context = {
        "person": recipient.name,
        "alert": payload["alert"],
        "count": payload["count"],
        "day": f"{date.fromisoformat(payload['day']):%d/%m/%Y}",
        "colleague": staff.name if staff else "",
        "school": school.name if school else settings.academy,
        "link": link,
    }
    mail = compose(
        "bureau_alerte",
        recipient=recipient.email,
        context=context,
        message_id=f"{message.id}",
        settings=settings,
        other_url=link,
    )
    deliver(mail, recipient.email)
    return Outcome.DONE
