"""Tables of the charters."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from idp.clock import now
from idp.db import Base, UuidKey
from idp.personal import OWN, left_out, shown


class CharterVersion(UuidKey, Base):
    """One version of an ENT's charter, in Markdown. The client's `charter_version_id` names the current one."""

    __tablename__ = "charter_version"
    __table_args__ = (
        UniqueConstraint("client_id", "version"),
        {"info": left_out("texts of an ENT; the accepted ones are named by version")},
    )

    client_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("client.id"))
    version: Mapped[str] = mapped_column(String(40))
    text: Mapped[str] = mapped_column(Text)
    published_at: Mapped[datetime] = mapped_column(default=now)


class CharterAcceptance(Base):
    """The acceptance of a version by an account, stored once and never changed."""

    __tablename__ = "charter_acceptance"
    __table_args__ = (Index("ix_charter_acceptance_charter_version_id", "charter_version_id"),)

    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), primary_key=True, info=OWN)
    charter_version_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("charter_version.id"), primary_key=True, info=shown("Charte")
    )
    accepted_at: Mapped[datetime] = mapped_column(default=now, info=shown("Acceptée le"))
    ip: Mapped[str] = mapped_column(String(45), default="", info=shown("Adresse IP"))
