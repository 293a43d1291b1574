"""The mail about what an ENT operator asks for: to engineers while it waits, then to those who asked."""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from idp.clients.models import Client
from idp.config import Settings
from idp.db import db
from idp.desk.staff import mails
from idp.outbox import queue
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome
from idp.registration import approvals
from idp.registration.metadata import BY_NAME

MAIL = "desk.ent"
"""The kind of outbox message for one recipient: an ENT or a change waits, was accepted or was refused."""


def enqueue(
    client: Client,
    news: str,
    recipients: Iterable[uuid.UUID],
    *,
    by: uuid.UUID | None = None,
    reason: str = "",
    moved: Sequence[Any] = (),
) -> None:
    """Enqueue a mail for each recipient, in the caller's transaction; `moved` are fields, and URIs before and after."""
    payload = {"client": str(client.id), "news": news, "by": str(by) if by else "", "reason": reason, "moved": moved}
    for recipient in sorted(recipients):
        queue.enqueue(MAIL, {**payload, "recipient": str(recipient)})


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
    moved = payload.get("moved", ())
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
        moved=[(BY_NAME[name].member or name, before, after) for name, before, after in moved],
        shown_urls=[url for _, before, after in moved for url in (*before, *after) if _is_on_accepted_host(url)],
    )


def _is_on_accepted_host(url: str) -> bool:
    """Return whether a mail may show a URL of a change whole, so that an operator reads and copies it.

    A change that is in force at once stays on hosts that the académie accepted. A mail program may make a link of such
    a text: it leads to the ENT, and never to a host that an operator chose alone.
    """
    parts = urlsplit(url)
    return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
