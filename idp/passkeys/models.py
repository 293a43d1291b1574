"""Tables of the passkeys of parents. Those of the desk's people are among their credentials."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from idp.clock import now
from idp.db import Base, UuidKey


class PasskeyUser(Base):
    """A person to whom passkeys were offered once, or who began to add one.

    `handle` is the WebAuthn user handle: random, so that an authenticator never learns a number of the account.
    """

    __tablename__ = "passkey_user"

    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), primary_key=True)
    handle: Mapped[bytes] = mapped_column(unique=True)
    offered_at: Mapped[datetime] = mapped_column(default=now)


class Passkey(UuidKey, Base):
    """A passkey of an account (WebAuthn Level 3, 4, « Credential Record »).

    `name` is what the person calls it. `is_backup_eligible` never changes; `is_backed_up` is as at the last use.
    """

    __tablename__ = "passkey"

    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), index=True)
    name: Mapped[str] = mapped_column(String(60))
    credential_id: Mapped[bytes] = mapped_column(unique=True)
    public_key: Mapped[bytes]
    sign_count: Mapped[int] = mapped_column(BigInteger)
    is_backup_eligible: Mapped[bool]
    is_backed_up: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(default=now)
    last_used_at: Mapped[datetime | None]


class SpentChallenge(Base):
    """The digest of a challenge that was answered: it works once. The row goes when the challenge is too old anyway."""

    __tablename__ = "spent_challenge"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)
