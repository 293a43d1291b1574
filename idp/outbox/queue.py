"""Where all that leaves the building is written first: in the caller's transaction, never before its commit."""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from idp.clock import now
from idp.db import db
from idp.outbox.models import OutboxMessage


def enqueue(kind: str, payload: Mapping[str, Any], *, delay: timedelta = timedelta()) -> OutboxMessage:
    """Add a message to `db.session`; the caller commits it with what it tells about, or rolls both back.

    Args:
        kind: the name under which `idp.app` registered the handler, for example `mail.confirmation`.
        payload: what the handler needs to do its work: ids, never a secret; it must be JSON.
        delay: how long the message waits before its first hand-over.

    Returns:
        The message, its id already known: a mail's Message-ID is drawn from it.
    """
    moment = now()
    message = OutboxMessage(
        id=uuid.uuid4(), kind=kind, payload=dict(payload), created_at=moment, available_at=moment + delay
    )
    db.session.add(message)
    return message
