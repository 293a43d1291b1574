"""Tables of the protocol: codes, tokens, signing keys."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from idp.clock import now
from idp.db import Base, UuidKey
from idp.personal import DIGEST, KEY, OWN, held, left_out, shown


class AuthorizationCode(Base):
    """An authorization code (RFC 6749 4.1.2), by its digest.

    `claims` is the claims request (Core 5.5), `jkt` the thumbprint of the only DPoP key that may redeem the code (RFC
    9449 10).

    Only `session_id` is a foreign key: each one costs a look-up and a lock at every sign-on, and the statement that
    inserts a row reads session, account and client anyway.
    """

    __tablename__ = "authorization_code"
    __table_args__ = (Index("ix_authorization_code_session_id", "session_id"),)

    digest: Mapped[bytes] = mapped_column(primary_key=True, info=DIGEST)
    family: Mapped[uuid.UUID] = mapped_column(info=KEY)
    client_id: Mapped[uuid.UUID] = mapped_column(info=shown("ENT"))
    account_id: Mapped[uuid.UUID] = mapped_column(info=OWN)
    session_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("session.id"), info=left_out("the connection, which stands in its own part")
    )
    redirect_uri: Mapped[str] = mapped_column(String(500), info=left_out("the address of the ENT's software"))
    scope: Mapped[str] = mapped_column(String(300), info=shown("Informations demandées"))
    nonce: Mapped[str | None] = mapped_column(String(600), info=held("valeur aléatoire de l’ENT"))
    code_challenge: Mapped[str | None] = mapped_column(String(43), info=DIGEST)
    claims: Mapped[str | None] = mapped_column(Text, info=left_out("what the ENT's software asked for"))
    jkt: Mapped[str | None] = mapped_column(String(43), info=DIGEST)
    acr: Mapped[str] = mapped_column(String(20), info=shown("Niveau"))
    auth_time: Mapped[datetime] = mapped_column(info=shown("Mot de passe tapé, ou clé d’accès utilisée, le"))
    expires_at: Mapped[datetime] = mapped_column(info=shown("Fin"))
    used_at: Mapped[datetime | None] = mapped_column(info=shown("Utilisé le"))


class Token(Base):
    """An access token (`kind` "a") or refresh token ("r"), by its digest.

    All tokens of one code share its `family`, and are revoked together. `auth_time` and `acr` are those of the sign-in
    (Core 12.2). `jkt` is the thumbprint of the DPoP key that the token is bound to (RFC 9449 6).
    """

    __tablename__ = "token"
    __table_args__ = (Index("ix_token_session_id", "session_id"),)

    digest: Mapped[bytes] = mapped_column(primary_key=True, info=DIGEST)
    family: Mapped[uuid.UUID] = mapped_column(index=True, info=KEY)
    client_id: Mapped[uuid.UUID] = mapped_column(info=shown("ENT"))
    account_id: Mapped[uuid.UUID] = mapped_column(info=OWN)
    session_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("session.id"), info=left_out("the connection, which stands in its own part")
    )
    scope: Mapped[str] = mapped_column(String(300), info=shown("Informations demandées"))
    claims: Mapped[str | None] = mapped_column(Text, info=left_out("what the ENT's software asked for"))
    jkt: Mapped[str | None] = mapped_column(String(43), info=DIGEST)
    acr: Mapped[str] = mapped_column(String(20), info=shown("Niveau"))
    auth_time: Mapped[datetime] = mapped_column(info=shown("Mot de passe tapé, ou clé d’accès utilisée, le"))
    expires_at: Mapped[datetime] = mapped_column(info=shown("Fin"))
    used_at: Mapped[datetime | None] = mapped_column(info=shown("Utilisé le"))
    kind: Mapped[str] = mapped_column(String(1), info=shown("Genre"))
    family_expires_at: Mapped[datetime | None] = mapped_column(info=shown("Fin au plus tard"))
    revoked_at: Mapped[datetime | None] = mapped_column(info=shown("Annulé le"))


class PushedRequest(Base):
    """A pushed authorization request (RFC 9126), by the digest of its `request_uri`.

    It can be opened until `expires_at`, and gives one code: the store sets `used_at` when it stores the code.
    """

    __tablename__ = "pushed_request"
    __table_args__ = ({"info": left_out("requests of an ENT's software before anybody signed in; gone within hours")},)

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    client_id: Mapped[uuid.UUID]
    parameters: Mapped[dict[str, Any]]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]


class SpentProof(Base):
    """The digest of the `jti` of a used client assertion (RFC 7523) or DPoP proof (RFC 9449)."""

    __tablename__ = "spent_proof"
    __table_args__ = ({"info": left_out("digests of proofs of an ENT's software")},)

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SigningKey(UuidKey, Base):
    """A key that signs ID tokens; its private part is encrypted under a key derived from `IDP_SECRET_KEY`.

    The key is published from `created_at`, signs from `active_from`, and leaves the JWKS at `retired_at`.
    """

    __tablename__ = "signing_key"
    __table_args__ = ({"info": left_out("keys of this service")},)

    kid: Mapped[str] = mapped_column(String(43), unique=True)
    alg: Mapped[str] = mapped_column(String(10))
    public_jwk: Mapped[dict[str, Any]]
    private_sealed: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(default=now)
    active_from: Mapped[datetime] = mapped_column(default=now)
    retired_at: Mapped[datetime | None]
