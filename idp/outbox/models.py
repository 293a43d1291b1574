"""The table of the outbox."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from idp.clock import now
from idp.db import Base, UuidKey, only

TRACE = "traceparent"
"""The member of a payload that names the trace of the request which caused the message."""


class OutboxMessage(UuidKey, Base):
    """A message that is delivered at least once. Its payload has ids, no secret, and is emptied after the delivery."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_waiting", "finished_at", "available_at"),
        Index("ix_outbox_dead", "finished_at", **only("outcome = 'dead'")),
    )

    kind: Mapped[str] = mapped_column(String(60))
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)
    available_at: Mapped[datetime] = mapped_column(default=now)
    attempts: Mapped[int] = mapped_column(default=0)
    lease: Mapped[uuid.UUID | None]
    leased_until: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str] = mapped_column(String(20), default="waiting")
    last_error: Mapped[str] = mapped_column(String(500), default="")
