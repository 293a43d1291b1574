"""The mail about an ENT that an ENT operator registered: to engineers while it waits, then to its operators."""

import uuid
from urllib.parse import urlencode

from idp.clients.models import Client
from idp.config import Settings
from idp.db import db
from idp.desk.staff.models import StaffAccount
from idp.mail.compose import compose
from idp.mail.deliver import deliver
from idp.outbox.models import OutboxMessage
from idp.outbox.worker import Outcome


def hand_over(message: OutboxMessage, settings: Settings) -> Outcome:
    """Send the mail (outbox handler); drop it if the recipient left, or the ENT no longer waits."""
    payload = message.payload
    client = db.session.get(Client, uuid.UUID(payload["client"]), populate_existing=True)
    recipient = db.session.get(StaffAccount, uuid.UUID(payload["recipient"]), populate_existing=True)
    if client is None or recipient is None or recipient.disabled_at is not None:
        return Outcome.DROPPED
    if payload["news"] == "asked" and client.waiting_since is None:
        return Outcome.DROPPED
    operator = db.session.get(StaffAccount, uuid.UUID(payload["by"])) if payload["by"] else None
    link = settings.desk_url if payload["news"] == "refused" else _page(settings, client)
    context = {
        "person": recipient.name,
        "news": payload["news"],
        "ent": client.name,
        "operator": operator.name if operator else "",
        "reason": payload["reason"],
        "link": link,
    }
    mail = compose(
        "bureau_ent",
        recipient=recipient.email,
        context=context,
        message_id=f"{message.id}",
        settings=settings,
        other_url=link,
    )
    deliver(mail, recipient.email)
    return Outcome.DONE


def _page(settings: Settings, client: Client) -> str:
    """Return the link to the page of an ENT; a person with several posts first chooses that of this ENT."""
    return f"{settings.desk_url}/etablissements?{urlencode({'suite': f'/ent/{client.id}'})}"
