"""The table of the outbox."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from idp.clock import now
from idp.db import Base, UuidKey, only
from idp.personal import left_out, shown

TRACE = "traceparent"
"""The member of a payload that names the trace of the request which caused the message."""


class OutboxMessage(UuidKey, Base):
    """A message that is delivered at least once. Its payload has ids, no secret, and is emptied after the delivery."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_waiting", "finished_at", "available_at"),
        Index("ix_outbox_dead", "finished_at", **only("outcome = 'dead'")),
    )

    kind: Mapped[str] = mapped_column(String(60), info=shown("Genre"))
    payload: Mapped[dict[str, Any]] = mapped_column(info=left_out("keys of rows that stand in their own parts"))
    created_at: Mapped[datetime] = mapped_column(default=now, info=shown("Demandé le"))
    available_at: Mapped[datetime] = mapped_column(default=now, info=shown("Prochain essai"))
    attempts: Mapped[int] = mapped_column(default=0, info=left_out("how the message is handed over"))
    lease: Mapped[uuid.UUID | None] = mapped_column(info=left_out("how the message is handed over"))
    leased_until: Mapped[datetime | None] = mapped_column(info=left_out("how the message is handed over"))
    finished_at: Mapped[datetime | None] = mapped_column(info=left_out("empty: the message waits"))
    outcome: Mapped[str] = mapped_column(String(20), default="waiting", info=left_out("how the message is handed over"))
    last_error: Mapped[str] = mapped_column(
        String(500), default="", info=left_out("what a mail server or an ENT answered")
    )
