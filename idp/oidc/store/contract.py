"""The requests of a sign-on, as their own small store: authorize with a session, token, refresh, userinfo.

On PostgreSQL each is ONE autocommitted statement whose WHERE is the decision: no row means that something does not
hold, and the slow path finds out what. Claiming a code and storing its tokens in one statement is what makes a replay
harmless: with two commits, the revocation that a replay triggers can run before there is a token to revoke. SQLite has
no data-modifying CTE: there the same work is two or three statements in one BEGIN IMMEDIATE transaction.

Statements are text, run by the driver's cursor on a connection of SQLAlchemy's own pool: `Connection.execute` would
double the time that they take. Times are this node's clock, passed in, as everywhere.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from idp.db import release_connection


@dataclass(frozen=True, slots=True)
class CodeRequest:
    """A code to be issued to the session whose cookie has `cookie_digest`, if nothing is owed.

    `client_version` must still be the client's; `charter` says that its current charter must have been accepted.
    `claims` is the claims request, `jkt` the DPoP key that alone may exchange the code, `pushed_digest` the pushed
    request that this code uses up. `journal_salt` and `journal_key` protect the entry of the journal: the key binds the
    account and the session (`idp.audit.chain.bind`), and is not stored.
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
    address: str
    request_id: str
    journal_salt: bytes
    journal_key: bytes


@dataclass(frozen=True, slots=True)
class Redemption:
    """A code to be exchanged by an authenticated client.

    `refresh_digest` is None when the client may have no refresh token; it is stored if the code's request asked for
    `offline_access`. `jkt` is the thumbprint of the DPoP key that was shown, which the tokens are then bound to; a code
    that names a key is exchanged with that one alone.
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
    refresh_expires_at: datetime | None
    family_expires_at: datetime | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Rotation:
    """A refresh token to be exchanged; one used since `grace_since` may be asked again (its answer was lost).

    `refresh_digest` is that of the token's one successor, which is there already when it is asked again; None for a
    client whose refresh tokens are not rotated: the old one goes on. `jkt` is the DPoP
    key that was shown; a token that is bound to a key needs one, and with `same_key` (public clients, RFC 9449 5) the
    same one. So does the successor: whoever asks again and could not use it is not the one who lost an answer.
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
class Granted:
    """What the tokens stand for: enough to write the ID token. `auth_time` and `acr` are those of the sign-in."""

    account_id: uuid.UUID
    join_key: str | None
    sid: str
    amr: list[str]
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
    """Whom an access token stands for, with all that UserInfo may say of them.

    `claims` is the claims request of the sign-in, `jkt` the DPoP key that the token is bound to. `more_claims` are the
    standard claims that an operator set.
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
    profile: str
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


class Store(Protocol):
    """The four statements; each returns None when something does not hold."""

    def authorize(self, request: CodeRequest) -> str | None:
        """Store a code and return the session's `sid`."""

    def redeem(self, request: Redemption) -> Granted | None:
        """Claim a code, store its tokens; at most one caller gets an answer for one code."""

    def refresh(self, request: Rotation) -> Granted | None:
        """Exchange a refresh token for a new pair of the same family."""

    def holder(self, access_digest: bytes, moment: datetime) -> Holder | None:
        """Return whom a live access token stands for."""

    def close(self) -> None:
        """Close the idle connections."""


_SLOW = frozenset({"57014", "55P03"})
"""SQLSTATE of a statement, or a lock, that took too long: its connection is well."""


class Connections:
    """Lends driver connections. One that broke is thrown away with its idle brothers: the next request is well."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        driver: Any = engine.dialect.dbapi
        self._unavailable: tuple[type[Exception], ...] = (
            driver.OperationalError,
            driver.InterfaceError,
            driver.InternalError,  # a server that turned read-only after a failover
        )

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """Lend a cursor of an autocommitted connection.

        Raises:
            OperationalError: SQLAlchemy's, for the driver's own: the database is away, or locked for too long.
        """
        release_connection()
        connection = None
        try:
            connection = self._engine.raw_connection()
            yield connection.cursor()
        except self._unavailable as error:
            if connection is not None and self._lost(error):
                connection.invalidate(error)
                self._engine.dispose()
            raise OperationalError(None, None, error) from error
        finally:
            if connection is not None:
                connection.close()

    def _lost(self, error: Exception) -> bool:
        """Return whether the server behind a connection is lost: not for one slow statement, nor for a lock."""
        slow = getattr(error, "sqlstate", None) in _SLOW
        return self._engine.dialect.name == "postgresql" and not slow

    def close(self) -> None:
        """Close the idle connections."""
        self._engine.dispose()
