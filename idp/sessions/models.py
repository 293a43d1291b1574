"""Table of the sessions."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from idp.clock import now
from idp.db import Base, UuidKey

PASSWORD = "pwd"  # noqa: S105 - an authentication context class
PASSWORD_ON_KNOWN_DEVICE = "pwd+device"  # noqa: S105 - same
"""The strength of a sign-in: the password, or the password on a browser that the account had signed in on before."""


class Session(UuidKey, Base):
    """A session of an account in one browser; clients know it by `sid` (Back-Channel Logout 2.1)."""

    __tablename__ = "session"

    digest: Mapped[bytes] = mapped_column(unique=True)
    sid: Mapped[str] = mapped_column(String(43))
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), index=True)
    generation: Mapped[int]
    auth_time: Mapped[datetime]
    amr: Mapped[list[str]]
    acr: Mapped[str] = mapped_column(String(20), default=PASSWORD)
    created_at: Mapped[datetime] = mapped_column(default=now)
    last_seen_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]
    ip: Mapped[str] = mapped_column(String(45), default="")
    user_agent: Mapped[str] = mapped_column(String(300), default="")
