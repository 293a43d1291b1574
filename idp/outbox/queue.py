"""Stores outgoing messages in the caller's transaction."""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from idp.chained import NewRow
from idp.clock import now
from idp.db import db
from idp.outbox.models import TRACE, OutboxMessage
from idp.tracing import spans


def enqueue(kind: str, payload: Mapping[str, Any], *, delay: timedelta = timedelta()) -> OutboxMessage:
    """Add a message to `db.session`, so that it is committed or rolled back with the change that it reports.

    Args:
        kind: the name under which `idp.app` registered the handler, for example `mail.confirmation`.
        payload: JSON for the handler: ids, never a secret.
        delay: time before the first attempt.

    Returns:
        The message. Its id is set, since the Message-ID of a mail is made from it.
    """
    values = message_of(kind, payload, delay=delay).values
    message = OutboxMessage(**values)
    db.session.add(message)
    return message


def message_of(kind: str, payload: Mapping[str, Any], *, delay: timedelta = timedelta()) -> NewRow:
    """Return a message, for a statement that inserts it together with the change; see `enqueue`."""
    moment, kept = now(), dict(payload)
    if traceparent := spans.current():
        kept[TRACE] = traceparent  # the worker's lines have the id of the trace
    values = {"id": uuid.uuid4(), "kind": kind, "payload": kept, "created_at": moment}
    return NewRow(OutboxMessage, values | {"available_at": moment + delay})
