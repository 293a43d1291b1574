"""Table of the sessions."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from idp.clock import now
from idp.db import Base, UuidKey, only
from idp.personal import DIGEST, GENERATION, OWN, held, left_out, shown

PASSWORD = "pwd"  # noqa: S105 - an authentication context class
PASSWORD_ON_KNOWN_DEVICE = "pwd+device"  # noqa: S105 - same
PASSKEY_IN_SOFTWARE = "passkey+swk"
PASSKEY_IN_HARDWARE = "passkey+hwk"
"""The strength of a sign-in: the password, the password on a browser that the account had signed in on before, or a
passkey: one that may be copied to the person's other devices, or one that never leaves its device."""

METHODS = {
    PASSWORD: ["pwd"],
    PASSWORD_ON_KNOWN_DEVICE: ["pwd"],
    PASSKEY_IN_SOFTWARE: ["swk", "user"],
    PASSKEY_IN_HARDWARE: ["hwk", "user"],
}
"""The methods of each strength (RFC 8176, section 2)."""
_LEVELS = {PASSWORD: 0, PASSWORD_ON_KNOWN_DEVICE: 1, PASSKEY_IN_SOFTWARE: 2, PASSKEY_IN_HARDWARE: 2}


def is_at_least(strength: str, required: str) -> bool:
    """Return whether a sign-in of one strength is enough where another is required."""
    return _LEVELS[strength] >= _LEVELS[required]


def after_password(strength: str) -> str:
    """Return the strength of a session whose password was typed again: the password replaces a passkey."""
    return PASSWORD if is_at_least(strength, PASSKEY_IN_SOFTWARE) else strength


class Session(UuidKey, Base):
    """A session of an account in one browser; clients know it by `sid` (Back-Channel Logout 2.1)."""

    __tablename__ = "session"

    digest: Mapped[bytes] = mapped_column(unique=True, info=DIGEST)
    sid: Mapped[str] = mapped_column(String(43), info=held("numéro de la connexion, connu des ENT"))
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), index=True, info=OWN)
    generation: Mapped[int] = mapped_column(info=GENERATION)
    auth_time: Mapped[datetime] = mapped_column(info=shown("Mot de passe tapé, ou clé d’accès utilisée, le"))
    amr: Mapped[list[str]] = mapped_column(info=shown("Moyen"))
    acr: Mapped[str] = mapped_column(String(20), default=PASSWORD, info=shown("Niveau"))
    created_at: Mapped[datetime] = mapped_column(default=now, info=shown("Début"))
    last_seen_at: Mapped[datetime] = mapped_column(default=now, info=shown("Dernière activité"))
    expires_at: Mapped[datetime] = mapped_column(index=True, info=shown("Fin au plus tard"))
    ended_at: Mapped[datetime | None] = mapped_column(info=shown("Fin"))
    ip: Mapped[str] = mapped_column(String(45), default="", info=shown("Adresse IP"))
    user_agent: Mapped[str] = mapped_column(String(300), default="", info=shown("Navigateur"))


class DeviceSession(UuidKey, Base):
    """A browser in which a person stays signed in; it opens sessions that have its `sid` (`idp.sessions.staying`).

    `digest` is the keyed digest of the number in the cookie, `rotation` counts the secrets that were issued, and
    `rotated_at` is when the last one was. `presented` is the rotation of the secret that the browser presented last.
    `auth_time`, `amr` and `acr` are those of the password.
    """

    __tablename__ = "device_session"
    __table_args__ = (Index("ix_device_session_ended_at", "ended_at", **only("ended_at IS NOT NULL")),)

    digest: Mapped[bytes] = mapped_column(unique=True, info=DIGEST)
    rotation: Mapped[int] = mapped_column(default=0, info=left_out("a counter of secrets"))
    presented: Mapped[int] = mapped_column(default=0, info=left_out("the secret that was used last"))
    sid: Mapped[str] = mapped_column(String(43), info=held("numéro de la connexion, connu des ENT"))
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), index=True, info=OWN)
    generation: Mapped[int] = mapped_column(info=GENERATION)
    auth_time: Mapped[datetime] = mapped_column(info=shown("Mot de passe tapé le"))
    amr: Mapped[list[str]] = mapped_column(info=shown("Moyen"))
    acr: Mapped[str] = mapped_column(String(20), info=shown("Niveau"))
    created_at: Mapped[datetime] = mapped_column(default=now, info=shown("Début"))
    rotated_at: Mapped[datetime] = mapped_column(default=now, info=shown("Dernière utilisation"))
    expires_at: Mapped[datetime] = mapped_column(index=True, info=shown("Fin au plus tard"))
    ended_at: Mapped[datetime | None] = mapped_column(info=shown("Fin"))
    ip: Mapped[str] = mapped_column(String(45), default="", info=shown("Adresse IP"))
    user_agent: Mapped[str] = mapped_column(String(300), default="", info=shown("Navigateur"))
