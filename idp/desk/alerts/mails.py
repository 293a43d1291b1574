"""The mail about an alert, to one head or engineer. It names the person of the desk or the school, and no family.

Its link leads to what the recipient may read in the journal: to the acts for a head of the school, to the entry of the
alert for an engineer, who reads no act on a family.
"""

import uuid
from collections.abc import Mapping
from datetime import date
from typing import Any
from urllib.parse import urlencode

from idp.accounts.models import School
from idp.audit.desk_events import AlertRaised
from idp.audit.events import AccountRead, LetterReissued
from idp.config import Settings
from idp.db import db
from idp.desk import access
from idp.desk.journal.filters import Filters
from idp.desk.staff import mails, posts
from idp.desk.staff.models import StaffAccount
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome

_ACTS = {
    "many_letters": LetterReissued.kind,
    "own_name": AccountRead.kind,
}
"""The kind of the acts that an alert is about, if it is one kind."""


def hand_over(message: OutboxMessage, settings: Settings) -> Outcome:
    """Send the mail about an alert (outbox handler)."""
    payload = message.payload
    recipient = mails.find_recipient(payload["recipient"])
    if recipient is None:
        return Outcome.DROPPED
    school = db.session.get(School, uuid.UUID(payload["school"])) if payload["school"] else None
    colleague, is_head = mails.find_name(payload["staff"]), _is_head(recipient, school)
    entries = _acts(payload, colleague) if is_head else _entry(payload)
    path = "/signalements" if payload["alert"] == "account_closed" else f"/journal?{urlencode(entries.typed)}"
    return mails.send(
        message,
        settings,
        "bureau_alerte",
        recipient,
        link=mails.page_url(settings, path),
        alert=payload["alert"],
        count=payload["count"],
        day=f"{date.fromisoformat(payload['day']):%d/%m/%Y}",
        colleague=colleague,
        school=school.name if school else settings.academy,
        is_head=is_head,
    )


def _is_head(recipient: StaffAccount, school: School | None) -> bool:
    held = posts.of_staff(recipient.id)
    return school is not None and any(access.spec(post.role).leads and post.school == school for post in held)


def _acts(payload: Mapping[str, Any], colleague: str) -> Filters:
    """Return the filters that show the acts of an alert."""
    return Filters(who=colleague, act=_ACTS.get(payload["alert"], ""), first=payload["day"], last=payload["day"])


def _entry(payload: Mapping[str, Any]) -> Filters:
    """Return the filters that show the entry of an alert, which may be of the next day."""
    return Filters(act=AlertRaised.kind, first=payload["day"])
