"""Tables of the desk's staff. Staff are not parents: they have accounts, sessions and credentials of their own."""

import enum
import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Enum, ForeignKey, Index, String, UniqueConstraint, select
from sqlalchemy.orm import Mapped, mapped_column

from idp.clock import now
from idp.db import Base, UuidKey, db, only
from idp.personal import left_out


def _one_of(values: type[enum.Enum]) -> Enum:
    return Enum(values, native_enum=False, length=20, values_callable=lambda kind: [member.value for member in kind])


class Role(enum.Enum):
    """What a person does at the desk; `idp.desk.access` has the rights of each."""

    SECRETARY = "secretary"
    HEAD = "head"
    ENT_OPERATOR = "ent_operator"
    HELPDESK = "helpdesk"
    DPO = "dpo"
    ENGINEER = "engineer"


class Authenticator(enum.Enum):
    """What proved who a person is, at a sign-in or later."""

    PASSKEY = "passkey"
    CODE = "code"
    RECOVERY_CODE = "recovery_code"
    ACADEMY = "academy"


class CredentialKind(enum.Enum):
    """The kinds of credentials."""

    PASSKEY = "passkey"
    TOTP = "totp"
    RECOVERY_CODE = "recovery_code"


class StaffAccount(UuidKey, Base):
    """A person who works at the desk.

    `mailbox` is `email` folded. `password_hash` is empty for a person who has only passkeys: a password is refused
    without a code. `issuer` and `subject` are the person at the académie's OpenID provider. `generation` counts the
    changes of credentials: sessions of an earlier one are over. `disabled_at` is when the person left.
    """

    __tablename__ = "staff_account"
    __table_args__ = (
        UniqueConstraint("issuer", "subject"),
        {"info": left_out("people of the desk, who are no parents")},
    )

    name: Mapped[str] = mapped_column(String(120))
    email: Mapped[str] = mapped_column(String(254))
    mailbox: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str | None] = mapped_column(String(200))
    issuer: Mapped[str | None] = mapped_column(String(500))
    subject: Mapped[str | None] = mapped_column(String(255))
    generation: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)
    enrolled_at: Mapped[datetime | None]
    last_sign_in_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]

    def credentials_changed(self) -> None:
        """Count a change of credentials: all sessions from before are over. The caller has locked the row."""
        self.generation += 1


class StaffRole(UuidKey, Base):
    """A role of a person and its scope: a school, an ENT, or the académie (neither of them) until `valid_until`."""

    __tablename__ = "staff_role"
    __table_args__ = (
        CheckConstraint("school_id IS NULL OR client_id IS NULL", name="scope"),
        Index("ix_staff_role_school_id", "school_id"),
        {"info": left_out("people of the desk")},
    )

    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff_account.id"), index=True)
    role: Mapped[Role] = mapped_column(_one_of(Role))
    school_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("school.id"))
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("client.id"))
    granted_at: Mapped[datetime] = mapped_column(default=now)
    valid_until: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class StaffCredential(UuidKey, Base):
    """A passkey, a TOTP secret or a recovery code.

    A passkey has `credential_id`, `public_key` and `sign_count` (WebAuthn). A TOTP secret is encrypted in `secret`;
    `last_step` is the time step of the last code that was used, so that each code works once. A recovery code is stored
    as its digest in `secret`; `used_at` is set at its only use.
    """

    __tablename__ = "staff_credential"
    __table_args__ = (
        Index("ix_staff_credential_totp", "staff_id", unique=True, **only("kind = 'totp'")),
        {"info": left_out("people of the desk")},
    )

    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff_account.id"), index=True)
    kind: Mapped[CredentialKind] = mapped_column(_one_of(CredentialKind))
    name: Mapped[str] = mapped_column(String(60), default="")
    credential_id: Mapped[bytes | None] = mapped_column(unique=True)
    public_key: Mapped[bytes | None]
    sign_count: Mapped[int] = mapped_column(BigInteger, default=0)
    secret: Mapped[bytes | None]
    last_step: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)
    last_used_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]


class StaffSession(UuidKey, Base):
    """A session at the desk.

    `role_id` is the role that the person acts in, once it is chosen. `proved_at` is when the person last proved who
    they are, with `authenticator`. That proof replaced the cookie at `replaced_at`; `former_digest` is that of the
    cookie before it. `reason` is why a person of the académie reads a family's data, since `reason_at`; the family is
    that of the first pupil or account that was opened, `reason_about`.
    """

    __tablename__ = "staff_session"
    __table_args__ = ({"info": left_out("people of the desk")},)

    digest: Mapped[bytes] = mapped_column(unique=True)
    former_digest: Mapped[bytes | None] = mapped_column(unique=True)
    replaced_at: Mapped[datetime | None]
    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff_account.id"), index=True)
    generation: Mapped[int]
    role_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("staff_role.id"))
    authenticator: Mapped[Authenticator] = mapped_column(_one_of(Authenticator))
    created_at: Mapped[datetime] = mapped_column(default=now)
    proved_at: Mapped[datetime] = mapped_column(default=now)
    last_seen_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(String(200), default="")
    reason_at: Mapped[datetime | None]
    reason_about: Mapped[uuid.UUID | None]
    ip: Mapped[str] = mapped_column(String(45), default="")
    user_agent: Mapped[str] = mapped_column(String(300), default="")


class StaffInvitation(UuidKey, Base):
    """A link by which a person enrols a first credential, or another one after a loss; it works once.

    `digest` is that of the token, which is computed from the id (`idp.desk.team.invitations`). `is_reset` says that
    the former credentials end when it is used.
    """

    __tablename__ = "staff_invitation"
    __table_args__ = ({"info": left_out("people of the desk")},)

    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff_account.id"), index=True)
    digest: Mapped[bytes] = mapped_column(unique=True)
    is_reset: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class StaffCeremony(UuidKey, Base):
    """A challenge for a passkey, or a TOTP secret that waits for its first code; it is used once.

    `browser` is the digest of the browser's own value: a challenge works only in the browser that asked for it.
    `values` has what the completion needs, without secrets; `secret` is encrypted.
    """

    __tablename__ = "staff_ceremony"
    __table_args__ = ({"info": left_out("people of the desk")},)

    purpose: Mapped[str] = mapped_column(String(20))
    staff_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("staff_account.id"))
    browser: Mapped[bytes]
    challenge: Mapped[bytes] = mapped_column(unique=True)
    secret: Mapped[bytes | None]
    values: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]


def actor(staff_id: uuid.UUID, role: Role | None = None) -> str:
    """Return a person as an actor."""
    return f"desk {role.value} {staff_id}" if role else f"desk {staff_id}"


def role(actor: str) -> Role | None:
    """Return the role in which the person of an actor acted, or None if the actor names none."""
    desk, _, rest = actor.partition(" ")
    value = rest.partition(" ")[0]
    return next((role for role in Role if role.value == value), None) if desk == "desk" else None


def staff_id(actor: str) -> uuid.UUID | None:
    """Return the person of an actor, or None if the actor is not of the desk."""
    desk, _, rest = actor.partition(" ")
    try:
        return uuid.UUID(rest.rpartition(" ")[2]) if desk == "desk" else None
    except ValueError:
        return None


def name(actor: str) -> str | None:
    """Return the name of the person of an actor, None if the actor is not of the desk, "" for a removed person."""
    return names([actor]).get(actor)


def names(actors: Iterable[str]) -> dict[str, str]:
    """Return the names of the people of all actors of a list, as `name` does; others have no place in it."""
    keys = {actor: key for actor in set(actors) if (key := staff_id(actor))}
    named = select(StaffAccount.id, StaffAccount.name).where(StaffAccount.id.in_(keys.values()))
    known = {row.id: row.name for row in db.session.execute(named)} if keys else {}
    return {actor: known.get(key, "") for actor, key in keys.items()}
