"""Tables of the protocol: codes, tokens, signing keys."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from idp.clock import now
from idp.db import Base, UuidKey


class AuthorizationCode(Base):
    """An authorization code (RFC 6749 4.1.2), by its digest.

    `claims` is the claims request (Core 5.5), `jkt` the thumbprint of the only DPoP key that may redeem the code (RFC
    9449 10).

    Only `session_id` is a foreign key: each one costs a look-up and a lock at every sign-on, and the statement that
    inserts a row reads session, account and client anyway.
    """

    __tablename__ = "authorization_code"
    __table_args__ = (Index("ix_authorization_code_session_id", "session_id"),)

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    family: Mapped[uuid.UUID]
    client_id: Mapped[uuid.UUID]
    account_id: Mapped[uuid.UUID]
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("session.id"))
    redirect_uri: Mapped[str] = mapped_column(String(500))
    scope: Mapped[str] = mapped_column(String(300))
    nonce: Mapped[str | None] = mapped_column(String(600))
    code_challenge: Mapped[str | None] = mapped_column(String(43))
    claims: Mapped[str | None] = mapped_column(Text)
    jkt: Mapped[str | None] = mapped_column(String(43))
    acr: Mapped[str] = mapped_column(String(20))
    auth_time: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class Token(Base):
    """An access token (`kind` "a") or refresh token ("r"), by its digest.

    All tokens of one code share its `family`, and are revoked together. `auth_time` and `acr` are those of the sign-in
    (Core 12.2). `jkt` is the thumbprint of the DPoP key that the token is bound to (RFC 9449 6).
    """

    __tablename__ = "token"
    __table_args__ = (Index("ix_token_session_id", "session_id"),)

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(1))
    family: Mapped[uuid.UUID] = mapped_column(index=True)
    client_id: Mapped[uuid.UUID]
    account_id: Mapped[uuid.UUID]
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("session.id"))
    scope: Mapped[str] = mapped_column(String(300))
    claims: Mapped[str | None] = mapped_column(Text)
    jkt: Mapped[str | None] = mapped_column(String(43))
    acr: Mapped[str] = mapped_column(String(20))
    auth_time: Mapped[datetime]
    expires_at: Mapped[datetime]
    family_expires_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class PushedRequest(Base):
    """A pushed authorization request (RFC 9126), by the digest of its `request_uri`.

    It can be opened until `expires_at`, and gives one code: the store sets `used_at` when it stores the code.
    """

    __tablename__ = "pushed_request"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    client_id: Mapped[uuid.UUID]
    parameters: Mapped[dict[str, Any]]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]


class SpentProof(Base):
    """The digest of the `jti` of a used client assertion (RFC 7523) or DPoP proof (RFC 9449)."""

    __tablename__ = "spent_proof"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SigningKey(UuidKey, Base):
    """A key that signs ID tokens; its private part is encrypted under a key derived from `IDP_SECRET_KEY`.

    The key is published from `created_at`, signs from `active_from`, and leaves the JWKS at `retired_at`.
    """

    __tablename__ = "signing_key"

    kid: Mapped[str] = mapped_column(String(43), unique=True)
    alg: Mapped[str] = mapped_column(String(10))
    public_jwk: Mapped[dict[str, Any]]
    private_sealed: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(default=now)
    active_from: Mapped[datetime] = mapped_column(default=now)
    retired_at: Mapped[datetime | None]
