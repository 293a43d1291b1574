"""Table of the sessions."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from idp.clock import now
from idp.db import Base, UuidKey


class Session(UuidKey, Base):
    """A browser that an account signed in on; `sid` is what clients see of it (Back-Channel Logout 2.1)."""

    __tablename__ = "session"

    digest: Mapped[bytes] = mapped_column(unique=True)
    sid: Mapped[str] = mapped_column(String(43))
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), index=True)
    generation: Mapped[int]
    auth_time: Mapped[datetime]
    amr: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(default=now)
    last_seen_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]
    address: Mapped[str] = mapped_column(String(45), default="")
    user_agent: Mapped[str] = mapped_column(String(300), default="")
