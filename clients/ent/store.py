"""The ENT's database, one SQLite file: sessions, sign-ins in progress, notification emails.

The browser's secrets (session identifier, `state`) are stored as digests: a copy of the file does not give access to
a session. Each method is one short transaction on its own connection, so that threads share no connection.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from clients.kit.checks import Attempt, now

ATTEMPT_LIFETIME = 3600
"""Seconds between « Se connecter » and the provider's response: an activation waits for a mail."""
MAX_ATTEMPTS = 20_000
"""Stored sign-ins in progress. The oldest are deleted, so that a flood cannot fill the disk."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS session (digest BLOB PRIMARY KEY, content TEXT NOT NULL, expires_at INTEGER NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS ix_session_expires_at ON session (expires_at);
CREATE TABLE IF NOT EXISTS signed_in (
  digest BLOB PRIMARY KEY REFERENCES session ON DELETE CASCADE, sub TEXT NOT NULL, sid TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS ix_signed_in_sub ON signed_in (sub);
CREATE INDEX IF NOT EXISTS ix_signed_in_sid ON signed_in (sid);
CREATE TABLE IF NOT EXISTS logout_token (jti TEXT PRIMARY KEY, forget_at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS attempt (
  state_digest BLOB PRIMARY KEY, browser_digest BLOB NOT NULL, nonce TEXT NOT NULL, code_verifier TEXT NOT NULL,
  target TEXT NOT NULL, expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS ix_attempt_expires_at ON attempt (expires_at);
CREATE TABLE IF NOT EXISTS notification_address (
  issuer TEXT NOT NULL, sub TEXT NOT NULL, address TEXT NOT NULL, saved_at INTEGER NOT NULL, PRIMARY KEY (issuer, sub)
) STRICT;
"""
_ADDED = ("max_age", "acr_values")
"""Columns added to `attempt` after the first version, in this order. Older files get them when they are opened."""


class Store:
    """The SQLite file. Every method raises `sqlite3.Error` if the file cannot be read or written."""

    def __init__(self, path: Path) -> None:
        """Create the file and its tables. The file holds tokens, so only its owner can read it."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(_SCHEMA)
            connection.execute("BEGIN IMMEDIATE")  # several processes may start at the same time
            present = {row[1] for row in connection.execute("PRAGMA table_info(attempt)")}
            for name in _ADDED:
                if name not in present:
                    connection.execute(f"ALTER TABLE attempt ADD COLUMN {name} TEXT NOT NULL DEFAULT ''")

    def find_session(self, session_id: str) -> str | None:
        """Return the content of a session, or None if it does not exist or has expired."""
        query = "SELECT content FROM session WHERE digest = ? AND expires_at > ?"
        with self._connection() as connection:
            row = connection.execute(query, (_digest(session_id), now())).fetchone()
        return None if row is None else str(row[0])

    def save_session(
        self,
        session_id: str,
        content: str,
        expires_at: int,
        *,
        is_new: bool,
        owner: tuple[str, str | None] | None = None,
    ) -> None:
        """Insert or update a session. A session that ended during the request stays ended.

        Args:
            session_id: the value of the cookie.
            content: the serialized session.
            expires_at: the end of the session, as a NumericDate.
            is_new: whether to insert the session.
            owner: `sub` and `sid` of the sign-in, stored with a new session for back-channel logout.
        """
        row = {"digest": _digest(session_id), "content": content, "expires_at": expires_at}
        with self._connection() as connection:
            if is_new:
                connection.execute("DELETE FROM session WHERE expires_at <= ?", (now(),))
                connection.execute("INSERT INTO session VALUES (:digest, :content, :expires_at)", row)
                if owner:
                    connection.execute("INSERT INTO signed_in VALUES (?, ?, ?)", (row["digest"], *owner))
            else:
                connection.execute(
                    "UPDATE session SET content = :content, expires_at = :expires_at WHERE digest = :digest", row
                )

    def end_session(self, session_id: str) -> None:
        """Delete a session."""
        with self._connection() as connection:
            connection.execute("DELETE FROM session WHERE digest = ?", (_digest(session_id),))

    def record_logout_token(self, jti: str, forget_at: int) -> bool:
        """Record the `jti` of a logout token until `forget_at` (NumericDate); return False if it is a replay."""
        with self._connection() as connection:
            connection.execute("DELETE FROM logout_token WHERE forget_at <= ?", (now(),))
            inserted = connection.execute("INSERT OR IGNORE INTO logout_token VALUES (?, ?)", (jti, forget_at))
            return bool(inserted.rowcount)

    def end_sessions_of(self, sub: str | None, sid: str | None) -> None:
        """Delete the sessions that a logout token names: the session `sid`, or all sessions of `sub`."""
        condition = "sid = :sid AND (:sub IS NULL OR sub = :sub)" if sid else "sub = :sub"
        with self._connection() as connection:
            connection.execute(
                f"DELETE FROM session WHERE digest IN (SELECT digest FROM signed_in WHERE {condition})",  # noqa: S608 - constant
                {"sub": sub, "sid": sid},
            )

    def start_attempt(self, browser: str, attempt: Attempt) -> None:
        """Store a sign-in in progress, bound to its browser."""
        key = (_digest(attempt.state), _digest(browser))
        content = (attempt.nonce, attempt.code_verifier, attempt.target)
        row = (*key, *content, now() + ATTEMPT_LIFETIME, attempt.max_age, attempt.acr_values)
        with self._connection() as connection:
            connection.execute("DELETE FROM attempt WHERE expires_at <= ?", (now(),))
            connection.execute("INSERT INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            connection.execute(
                "DELETE FROM attempt WHERE rowid <= (SELECT max(rowid) FROM attempt) - ?",
                (MAX_ATTEMPTS,),
            )

    def take_attempt(self, browser: str, state: str) -> Attempt | None:
        """Delete and return the sign-in in progress, or None. One statement, so that a response is accepted once."""
        query = (
            "DELETE FROM attempt WHERE state_digest = ? AND browser_digest = ? AND expires_at > ?"
            " RETURNING nonce, code_verifier, target, max_age, acr_values"
        )
        with self._connection() as connection:
            row = connection.execute(query, (_digest(state), _digest(browser), now())).fetchone()
        return None if row is None else Attempt(state, *row)

    def find_email(self, issuer: str, sub: str) -> str | None:
        """Return the person's notification email, or None. `sub` is unique within an issuer only."""
        query = "SELECT address FROM notification_address WHERE issuer = ? AND sub = ?"
        with self._connection() as connection:
            row = connection.execute(query, (issuer, sub)).fetchone()
        return None if row is None else str(row[0])

    def save_email(self, issuer: str, sub: str, email: str) -> None:
        """Store the person's notification email."""
        with self._connection() as connection:
            connection.execute(
                "INSERT INTO notification_address VALUES (?, ?, ?, ?)"
                " ON CONFLICT (issuer, sub) DO UPDATE SET address = excluded.address, saved_at = excluded.saved_at",
                (issuer, sub, email, now()),
            )

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Open a connection for one transaction."""
        with closing(sqlite3.connect(self._path, timeout=5)) as connection, connection:
            connection.execute("PRAGMA foreign_keys=ON")  # `signed_in` is deleted with its session
            yield connection


def _digest(secret: str) -> bytes:
    """Return the digest that is stored instead of a random secret."""
    return hashlib.sha256(secret.encode()).digest()
