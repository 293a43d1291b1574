"""Tables of the registered clients; `idp.registration.metadata` declares what the columns of a client mean."""

import enum
import secrets
import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Enum, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from idp.clock import now
from idp.db import Base, UuidKey
from idp.personal import left_out


class SubjectType(enum.Enum):
    """How a client gets `sub` (OpenID Connect Core 8); `aaf` is the join key that some ENT software expects."""

    PAIRWISE = "pairwise"
    PUBLIC = "public"
    AAF = "aaf"


class CharterMode(enum.Enum):
    """Who shows the ENT's charter: the ENT itself, this service before the code, or nobody."""

    ENT = "ent"
    PROVIDER = "provider"
    NONE = "none"


class Audience(enum.Enum):
    """Whom a client may know: the families of the schools that it serves, or everyone (a service of the académie)."""

    FAMILIES = "families"
    EVERYONE = "everyone"


class Client(UuidKey, Base):
    """A registered relying party.

    `secret_digest` is the SHA-256 digest of a random 256-bit secret, made at `secret_at`. After a rotation the former
    secret works until `former_secret_until`. `subject_salt` is the salt of the `sector`, copied at the registration, so
    that no `sub` ever changes; a client without a sector has a salt of its own. `description` holds the metadata that
    need no column (RFC 7591, section 2).

    A client that registered itself by the invitation `invite_id` stays within `bounds`. Its later requests carry the
    token of `registration_digest` (RFC 7592), last used at `registration_used_at`; the former token works until the
    present one is used. `pending_metadata` is a change that waits for an operator: the fields that change.

    `charter_draft` is a charter that somebody wrote at the desk and has not published: its `version` and `text`.

    A client that the ENT operator `asked_by` registered waits for the académie since `waiting_since`: until then it is
    disabled and serves no school. `asked_uais` are the schools that the operator asked for. A client that the académie
    refused at `declined_at` stays disabled for good.
    """

    __tablename__ = "client"
    __table_args__ = ({"info": left_out("about the software of an ENT")},)

    client_id: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(80))
    secret_digest: Mapped[bytes | None]
    former_secret_digest: Mapped[bytes | None]
    former_secret_until: Mapped[datetime | None]
    secret_at: Mapped[datetime | None]
    auth_method: Mapped[str] = mapped_column(String(40), default="client_secret_basic")
    auth_alg: Mapped[str] = mapped_column(String(10), default="")
    assertion_audience: Mapped[str] = mapped_column(String(10), default="issuer")
    jwks: Mapped[dict[str, Any] | None]
    jwks_uri: Mapped[str] = mapped_column(String(500), default="")
    redirect_uris: Mapped[list[str]]
    post_logout_redirect_uris: Mapped[list[str]] = mapped_column(default=list)
    home_uri: Mapped[str] = mapped_column(String(500), default="")
    initiate_login_uri: Mapped[str] = mapped_column(String(500), default="")
    backchannel_logout_uri: Mapped[str] = mapped_column(String(500), default="")
    frontchannel_logout_uri: Mapped[str] = mapped_column(String(500), default="")
    scopes: Mapped[list[str]]
    always_claims: Mapped[list[str]] = mapped_column(default=list)
    subject_type: Mapped[SubjectType] = mapped_column(Enum(SubjectType, native_enum=False, length=20))
    subject_salt: Mapped[bytes] = mapped_column(default=lambda: secrets.token_bytes(32))
    subject_prefix: Mapped[str] = mapped_column(String(30), default="")
    sector: Mapped[str] = mapped_column(String(500), default="")
    sector_identifier_uri: Mapped[str] = mapped_column(String(500), default="")
    pkce_required: Mapped[bool] = mapped_column(default=True)
    par_required: Mapped[bool] = mapped_column(default=False)
    dpop_required: Mapped[bool] = mapped_column(default=False)
    security_profile: Mapped[str] = mapped_column(String(20), default="")
    default_max_age: Mapped[int | None]
    id_token_alg: Mapped[str] = mapped_column(String(10), default="RS256")
    userinfo_alg: Mapped[str] = mapped_column(String(10), default="")
    refresh_id_token: Mapped[bool] = mapped_column(default=False)
    charter_mode: Mapped[CharterMode] = mapped_column(Enum(CharterMode, native_enum=False, length=20))
    charter_version_id: Mapped[uuid.UUID | None]
    charter_draft: Mapped[dict[str, Any] | None]
    default_profile: Mapped[str] = mapped_column(String(20), default="")
    profile_uris: Mapped[dict[str, Any]] = mapped_column(default=dict)
    description: Mapped[dict[str, Any]] = mapped_column(default=dict)
    invite_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("client_invite.id"))
    bounds: Mapped[dict[str, Any] | None]
    registration_digest: Mapped[bytes | None]
    former_registration_digest: Mapped[bytes | None]
    registration_used_at: Mapped[datetime | None]
    pending_metadata: Mapped[dict[str, Any] | None]
    audience: Mapped[Audience] = mapped_column(Enum(Audience, native_enum=False, length=20), default=Audience.FAMILIES)
    release_username: Mapped[bool] = mapped_column(default=False)
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=now)
    disabled_at: Mapped[datetime | None]
    waiting_since: Mapped[datetime | None]
    declined_at: Mapped[datetime | None]
    asked_uais: Mapped[list[str]] = mapped_column(default=list)
    asked_by: Mapped[uuid.UUID | None]

    schools: Mapped[list["ClientSchool"]] = relationship(lazy="selectin", cascade="all, delete-orphan")

    @property
    def uais(self) -> list[str]:
        """The schools that the client serves; it learns of no child elsewhere."""
        return sorted(school.uai for school in self.schools)

    @uais.setter
    def uais(self, uais: Iterable[str]) -> None:
        served = {school.uai: school for school in self.schools}
        self.schools = [served.get(uai) or ClientSchool(uai=uai) for uai in uais]


class ClientSchool(Base):
    """A school that a client serves."""

    __tablename__ = "client_school"
    __table_args__ = ({"info": left_out("about the software of an ENT")},)

    client_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("client.id"), primary_key=True)
    uai: Mapped[str] = mapped_column(String(8), primary_key=True, index=True)


class Sector(Base):
    """A sector, whose clients know a person by the same `sub` (Core 8.1), computed with this salt."""

    __tablename__ = "sector"
    __table_args__ = ({"info": left_out("about the software of an ENT")},)

    identifier: Mapped[str] = mapped_column(String(500), primary_key=True)
    salt: Mapped[bytes] = mapped_column(default=lambda: secrets.token_bytes(32))


class ClientInvite(UuidKey, Base):
    """An initial access token (RFC 7591, section 1.2), with which clients register themselves within these bounds.

    Each registration decrements `uses_left` and sets `used_at`. An empty bound, or None, allows everything.
    """

    __tablename__ = "client_invite"
    __table_args__ = ({"info": left_out("about the software of an ENT")},)

    digest: Mapped[bytes] = mapped_column(unique=True)
    label: Mapped[str] = mapped_column(String(80), default="")
    uais: Mapped[list[str]] = mapped_column(default=list)
    scopes: Mapped[list[str]] = mapped_column(default=list)
    hosts: Mapped[list[str]] = mapped_column(default=list)
    subject_type: Mapped[str] = mapped_column(String(20), default="")
    auth_method: Mapped[str] = mapped_column(String(40), default="")
    pkce_required: Mapped[bool | None]
    release_username: Mapped[bool] = mapped_column(default=False)
    uses_left: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
