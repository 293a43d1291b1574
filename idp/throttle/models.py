"""The table of rate limit counters."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from idp.db import Base
from idp.personal import left_out


class ThrottleCounter(Base):
    """A counter of one limit for one subject; `key` is its keyed digest, so that no row names a person."""

    __tablename__ = "throttle"
    __table_args__ = ({"info": left_out("counters under keyed digests, which name nobody")},)

    limit: Mapped[str] = mapped_column(String(40), primary_key=True)
    key: Mapped[bytes] = mapped_column(primary_key=True)
    count: Mapped[int]
    since: Mapped[datetime]
    open_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
