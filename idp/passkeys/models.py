"""Tables of the passkeys of parents. Those of the desk's people are among their credentials."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from idp.clock import now
from idp.db import Base, UuidKey
from idp.personal import OWN, held, left_out, shown


class PasskeyUser(Base):
    """A person to whom passkeys were offered once, or who began to add one.

    `handle` is the WebAuthn user handle: random, so that an authenticator never learns a number of the account.
    """

    __tablename__ = "passkey_user"

    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), primary_key=True, info=OWN)
    handle: Mapped[bytes] = mapped_column(unique=True, info=held("numéro que vos appareils gardent avec la clé"))
    offered_at: Mapped[datetime] = mapped_column(default=now, info=shown("Le"))


class Passkey(UuidKey, Base):
    """A passkey of an account (WebAuthn Level 3, 4, « Credential Record »).

    `name` is what the person calls it. `is_backup_eligible` never changes; `is_backed_up` is as at the last use.
    """

    __tablename__ = "passkey"

    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), index=True, info=OWN)
    name: Mapped[str] = mapped_column(String(60), info=shown("Nom"))
    credential_id: Mapped[bytes] = mapped_column(unique=True, info=held("numéro de la clé"))
    public_key: Mapped[bytes] = mapped_column(info=held("clé publique"))
    sign_count: Mapped[int] = mapped_column(BigInteger, info=left_out("a counter of the device"))
    created_at: Mapped[datetime] = mapped_column(default=now, info=shown("Ajoutée le"))
    last_used_at: Mapped[datetime | None] = mapped_column(info=shown("Dernière utilisation"))
    is_backup_eligible: Mapped[bool] = mapped_column(info=shown("Peut être copiée sur vos autres appareils"))
    is_backed_up: Mapped[bool] = mapped_column(info=shown("Copiée sur vos autres appareils"))


class SpentChallenge(Base):
    """The digest of a challenge that was answered: it works once. The row goes when the challenge is too old anyway."""

    __tablename__ = "spent_challenge"
    __table_args__ = ({"info": left_out("digests of random values that passkeys answered")},)

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)
