"""The mail that tells the académie's engineers that a head of school invited another head."""

import uuid

from idp.accounts.models import School
from idp.clock import today
from idp.desk.alerts.recipients import of_alert
from idp.desk.alerts.rules import ALERT
from idp.outbox import queue


def tell(inviter: uuid.UUID, school: School) -> None:
    """Enqueue the mails, in the caller's transaction."""
    payload = {
        "alert": "new_head",
        "day": today().isoformat(),
        "count": 1,
        "staff": str(inviter),
        "school": str(school.id),
    }
    for engineer in of_alert(inviter, None):
        queue.enqueue(ALERT, {**payload, "recipient": str(engineer)})
