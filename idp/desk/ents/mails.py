"""The mail about what an ENT operator asks for: to engineers while it waits, then to those who asked."""

import uuid

from idp.clients.models import Client
from idp.config import Settings
from idp.db import db
from idp.desk.staff import mails
from idp.outbox.models import OutboxMessage
from idp.outbox.worker import Outcome
from idp.registration import approvals
from idp.registration.metadata import BY_NAME


def hand_over(message: OutboxMessage, settings: Settings) -> Outcome:
    """Send the mail (outbox handler); drop it if the recipient left, or the ENT no longer waits."""
    payload = message.payload
    client = db.session.get(Client, uuid.UUID(payload["client"]), populate_existing=True)
    recipient = mails.find_recipient(payload["recipient"])
    if client is None or recipient is None:
        return Outcome.DROPPED
    if payload["news"] == "asked" and client.waiting_since is None:
        return Outcome.DROPPED
    if payload["news"] == "proposed" and not approvals.has_proposal(client):
        return Outcome.DROPPED
    return mails.send(
        message,
        settings,
        "bureau_ent",
        recipient,
        link=settings.desk_url if payload["news"] == "refused" else mails.page_url(settings, f"/ent/{client.id}"),
        news=payload["news"],
        ent=client.name,
        operator=mails.find_name(payload["by"]),
        reason=payload["reason"],
        moved=[(_label(name), before, after) for name, before, after in payload.get("moved", ())],
    )


def _label(name: str) -> str:
    """Return the name of a field in the protocol."""
    return BY_NAME[name].member or name
