"""The table of kept passwords."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from idp.clock import now
from idp.db import Base
from idp.personal import left_out


class KeptPassword(Base):
    """The hash of a good password whose form had a wrong email: the person corrects the email alone.

    `digest` is that of the interaction, which works in one browser, with the account and its generation. The row names
    nobody; nothing reads it after `ACTIVATION_LIFETIME`.
    """

    __tablename__ = "kept_password"
    __table_args__ = (
        {
            "info": left_out(
                "hashes of passwords before the activation, under digests that name nobody; gone within a day"
            )
        },
    )

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    password_hash: Mapped[str] = mapped_column(String(200))
    kept_at: Mapped[datetime] = mapped_column(default=now, index=True)
