"""Table of the journal."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from idp.clock import now
from idp.db import Base


class AuditEntry(Base):
    """One event: when, what, about whom, from where, with what result.

    Rows are added, never updated, but when an account is removed (`log.forget`).
    """

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_account_id_at", "account_id", "at"),)

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True
    )
    at: Mapped[datetime] = mapped_column(default=now, index=True)
    kind: Mapped[str] = mapped_column(String(60))
    result: Mapped[str] = mapped_column(String(10))
    account_id: Mapped[uuid.UUID | None]
    client_id: Mapped[uuid.UUID | None]
    actor: Mapped[str] = mapped_column(String(80), default="")
    address: Mapped[str] = mapped_column(String(45), default="")
    request_id: Mapped[str] = mapped_column(String(32), default="")
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
