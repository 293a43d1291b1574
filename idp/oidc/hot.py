"""The requests of a sign-on, as their own small store: authorize with a session, token, refresh, userinfo.

On PostgreSQL each is ONE autocommitted statement whose WHERE is the decision: no row means that something does not hold, and the
slow path finds out what. Claiming a code and storing its tokens in one statement is what makes a replay harmless: with two commits,
the revocation that a replay triggers can run before there is a token to revoke. SQLite has no data-modifying CTE: there the same
work is two or three statements in one BEGIN IMMEDIATE transaction.

Statements are text, run by the driver's cursor on a connection of SQLAlchemy's own pool: `Connection.execute` would double the time
that they take. Times are this node's clock, passed in, as everywhere.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Engine, PoolProxiedConnection, create_engine, make_url

from idp.config import Settings
from idp.db import POSTGRESQL_SETTINGS


@dataclass(frozen=True, slots=True)
class CodeRequest:
    """A code to be issued to the session whose cookie has `cookie_digest`, if nothing is owed.

    `client_version` must still be the client's; `charter` says that its current charter must have been accepted.
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
    acr: str | None
    charter: bool
    mail_required: bool
    now: datetime
    idle_since: datetime
    touch_before: datetime
    expires_at: datetime
    address: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Redemption:
    """A code to be exchanged by an authenticated client; the refresh token's fields are None when none is given."""

    code_digest: bytes
    client: uuid.UUID
    client_version: int
    redirect_uri: str
    challenge: str | None
    access_digest: bytes
    access_expires_at: datetime
    refresh_digest: bytes | None
    refresh_expires_at: datetime | None
    family_expires_at: datetime | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Rotation:
    """A refresh token to be exchanged; one used since `grace_since` may be asked again (its answer was lost)."""

    old_digest: bytes
    client: uuid.UUID
    client_version: int
    access_digest: bytes
    access_expires_at: datetime
    access_scope: str | None
    refresh_digest: bytes
    refresh_expires_at: datetime
    grace_since: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class Granted:
    """What the tokens stand for: enough to write the ID token."""

    account_id: uuid.UUID
    join_key: str | None
    sid: str
    amr: list[str]
    auth_time: datetime
    scope: str
    nonce: str | None
    acr: str | None
    charter_version: str | None
    charter_accepted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom an access token stands for, with all that UserInfo may say of them."""

    scope: str
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
    charter_version: str | None
    charter_accepted_at: datetime | None
    children: list[dict[str, str]]


class Store(Protocol):
    """The four statements; each returns None when something does not hold."""

    def authorize(self, request: CodeRequest) -> uuid.UUID | None:
        """Store a code and return the account's id."""

    def redeem(self, request: Redemption) -> Granted | None:
        """Claim a code, store its tokens; at most one caller gets an answer for one code."""

    def refresh(self, request: Rotation) -> Granted | None:
        """Exchange a refresh token for a new pair of the same family."""

    def holder(self, access_digest: bytes, moment: datetime) -> Holder | None:
        """Return whom a live access token stands for."""

    def close(self) -> None:
        """Close the idle connections."""


def open_store(settings: Settings) -> Store:
    """Return the store for the database of `settings`, with its own small pool of autocommitted connections."""
    if settings.database_url.startswith("sqlite"):
        from idp.oidc.hot_sqlite import SqliteStore  # noqa: PLC0415 - one dialect is loaded, not both

        return SqliteStore(Connections(create_engine(settings.database_url, connect_args={"timeout": 5.0})))
    from idp.oidc.hot_postgresql import PostgresqlStore  # noqa: PLC0415 - same

    url = make_url(settings.database_url).set(drivername="postgresql+psycopg")
    engine = create_engine(
        url,
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_timeout=5,
        pool_reset_on_return=None,
        connect_args={
            "autocommit": True,
            "prepare_threshold": 0,
            "connect_timeout": 5,
            # nested loops are always right here; with a young table's statistics the planner would walk whole indexes
            "options": f"{POSTGRESQL_SETTINGS} -c enable_mergejoin=off -c enable_hashjoin=off",
        },
    )
    return PostgresqlStore(Connections(engine))


class Connections:
    """Lends driver connections. One that broke is thrown away with its idle brothers, so that the next request is well again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """Lend a cursor of an autocommitted connection."""
        connection = self._engine.raw_connection()
        try:
            yield connection.cursor()
        except Exception as error:
            self._after(error, connection)
            raise
        finally:
            connection.close()

    def close(self) -> None:
        """Close the idle connections."""
        self._engine.dispose()

    def _after(self, error: Exception, connection: PoolProxiedConnection) -> None:
        driver = self._engine.dialect.dbapi
        broken = driver is not None and isinstance(error, (driver.OperationalError, driver.InterfaceError))
        if broken and self._engine.dialect.name == "postgresql":
            connection.invalidate(error)
            self._engine.dispose()
