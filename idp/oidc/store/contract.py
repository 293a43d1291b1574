"""The contract of the store: the four hot database requests, which run outside SQLAlchemy's ORM.

Each request is one autocommitted statement whose WHERE is the decision (`idp.oidc.store.store`). A request whose
conditions do not hold returns None without a change; the caller then reads why. One statement claims a code and stores
its tokens, because with two commits the revocation after a replay could run before there is a token to revoke.

All instants are passed in, from the clock of this process.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class CodeRequest:
    """A code to issue to the session of a cookie, if the person owes no step.

    Attributes:
        cookie_digest: Digest of the session cookie.
        code_digest: Digest of the new code.
        family: Key shared by the code and all tokens that come from it.
        client: Primary key of the client.
        client_version: Version of the client that the caller read; no code is issued if the client has changed.
        redirect_uri: Redirect URI that the code is bound to.
        scope: Scopes, separated by spaces.
        nonce: The parameter `nonce`.
        challenge: PKCE challenge (S256).
        claims: The parameter `claims`, as JSON text.
        jkt: Thumbprint of the only DPoP key that may redeem the code.
        pushed_digest: Digest of the pushed request that the code uses up.
        charter: The person must have accepted the client's current charter.
        mail_required: The account must have a confirmed email.
        now: The present instant.
        idle_since: Instant after which the session must have been used.
        touch_before: A session last used before this instant gets a new `last_seen_at`.
        expires_at: End of the code's lifetime.
        ip: Source address of the request, for the audit entry.
        request_id: Identifier of the request, for the audit entry.
        journal_salt: Salt of the audit entry.
        journal_key: Key that binds account and session to the audit entry (`idp.audit.chain.bind`); it is not stored.
    """

    cookie_digest: bytes
    code_digest: bytes
    family: uuid.UUID
    client: uuid.UUID
    client_version: int
    redirect_uri: str
    scope: str
    nonce: str | None
    challenge: str | None
    claims: str | None
    jkt: str | None
    pushed_digest: bytes | None
    charter: bool
    mail_required: bool
    now: datetime
    idle_since: datetime
    touch_before: datetime
    expires_at: datetime
    ip: str
    request_id: str
    journal_salt: bytes
    journal_key: bytes


@dataclass(frozen=True, slots=True)
class Redemption:
    """A code to exchange for tokens, shown by an authenticated client.

    Attributes:
        code_digest: Digest of the code.
        client: Primary key of the client.
        client_version: Version of the client that the caller read.
        redirect_uri: The parameter `redirect_uri`, equal to that of the code.
        challenge: Challenge computed from the code verifier, equal to that of the code.
        jkt: Thumbprint of the DPoP key that the client proved, which the tokens are bound to.
        access_digest: Digest of the new access token.
        access_expires_at: End of its lifetime.
        refresh_digest: Digest of the new refresh token, stored if the code's scope has `offline_access`; None for a
            client that may not have refresh tokens.
        refresh_expires_at: End of its lifetime if it is not used.
        family_expires_at: End of the lifetime of all refresh tokens that follow.
        now: The present instant.
    """

    code_digest: bytes
    client: uuid.UUID
    client_version: int
    redirect_uri: str
    challenge: str | None
    jkt: str | None
    access_digest: bytes
    access_expires_at: datetime
    refresh_digest: bytes | None
    refresh_expires_at: datetime
    family_expires_at: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class Rotation:
    """A refresh token to exchange for an access token and a successor.

    Attributes:
        old_digest: Digest of the refresh token.
        client: Primary key of the client.
        client_version: Version of the client that the caller read.
        access_digest: Digest of the new access token.
        access_expires_at: End of its lifetime.
        access_scope: Narrowed scope of the access token; None for the scope of the refresh token.
        jkt: Thumbprint of the DPoP key that the client proved. A bound refresh token needs one.
        same_key: The key must be that of the refresh token, and of its successor (public clients, RFC 9449 section 5).
        refresh_digest: Digest of the one successor of the token; None for a client whose refresh tokens do not rotate.
        refresh_expires_at: End of the lifetime of the successor, or of the token that does not rotate.
        grace_since: A token that was used after this instant may be used again, because the answer may have been lost.
            It gets the same successor.
        now: The present instant.
    """

    old_digest: bytes
    client: uuid.UUID
    client_version: int
    access_digest: bytes
    access_expires_at: datetime
    access_scope: str | None
    jkt: str | None
    same_key: bool
    refresh_digest: bytes | None
    refresh_expires_at: datetime
    grace_since: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class Grant:
    """The authorization that tokens were issued for: what the ID token needs. `auth_time` and `acr` are the sign-in's.

    A field has the name of its column in the answer of the statement.
    """

    account_id: uuid.UUID
    join_key: str | None
    sid: str
    auth_time: datetime
    scope: str
    nonce: str | None
    acr: str
    claims: str | None
    jkt: str | None
    charter_version: str | None
    charter_accepted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Holder:
    """The person, client and scope of an access token: what UserInfo needs.

    A field has the name of its column in the answer of the statement. `claims` is the claims request of the sign-in,
    `jkt` the thumbprint of the DPoP key that the token is bound to, `more_claims` the standard claims that an operator
    set.
    """

    scope: str
    claims: str | None
    jkt: str | None
    client_id: str
    client_key: uuid.UUID
    client_version: int
    account_id: uuid.UUID
    join_key: str | None
    username: str
    given_name: str
    family_name: str
    locale: str
    updated_at: datetime
    email: str | None
    address_lines: list[str]
    postcode: str
    city: str
    country: str
    more_claims: dict[str, Any]
    charter_version: str | None
    charter_accepted_at: datetime | None
    children: list[dict[str, str]]
