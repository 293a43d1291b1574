"""The ENT's own memory, one SQLite file: sessions, sign-ins on their way, notification addresses.

A secret that the browser holds (session, `state`) is stored as a digest only: a copy of the file opens no session.
Each method is one short transaction on its own connection, so that threads share nothing.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from clients.kit.checks import Attempt, now

ATTEMPT_LIFETIME = 3600
"""Seconds between « Se connecter » and the answer: an activation passes by a mailbox."""
MAX_ATTEMPTS = 20_000
"""Rows kept of sign-ins on their way, so that a flood of them cannot fill the disk: the oldest give way."""

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
"""Columns that `attempt` got later, after those above and in this order: files of before are still in use."""


class Store:
    """The SQLite file. Every method raises `sqlite3.Error` when the file cannot be read or written."""

    def __init__(self, path: Path) -> None:
        """Create the file, readable by its owner only since it holds tokens, and its tables."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(_SCHEMA)
            connection.execute("BEGIN IMMEDIATE")  # several processes may start at once
            present = {row[1] for row in connection.execute("PRAGMA table_info(attempt)")}
            for name in _ADDED:
                if name not in present:
                    connection.execute(f"ALTER TABLE attempt ADD COLUMN {name} TEXT NOT NULL DEFAULT ''")

    def find_session(self, session_id: str) -> str | None:
        """Return the content of a session that has not ended."""
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
        """Write a session whole. One that has ended meanwhile is not raised from the dead by a slower request.

        Args:
            session_id: the value that the cookie has.
            content: all that the session holds.
            expires_at: when it ends, as a NumericDate.
            is_new: whether it has never been written.
            owner: `sub` and `sid` of who signed in with it; noted when it is new, so that the provider can end it.
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
        """Forget a session: its cookie opens nothing any more."""
        with self._connection() as connection:
            connection.execute("DELETE FROM session WHERE digest = ?", (_digest(session_id),))

    def note_logout_token(self, jti: str, forget_at: int) -> bool:
        """Note the name of a logout token until `forget_at` (NumericDate); False when it was noted before."""
        with self._connection() as connection:
            connection.execute("DELETE FROM logout_token WHERE forget_at <= ?", (now(),))
            noted = connection.execute("INSERT OR IGNORE INTO logout_token VALUES (?, ?)", (jti, forget_at))
            return bool(noted.rowcount)

    def end_sessions_of(self, sub: str | None, sid: str | None) -> None:
        """Forget the sessions that a logout token names: by `sid`, or all of `sub` when it names no session."""
        chosen = "sid = :sid AND (:sub IS NULL OR sub = :sub)" if sid else "sub = :sub"
        with self._connection() as connection:
            connection.execute(
                f"DELETE FROM session WHERE digest IN (SELECT digest FROM signed_in WHERE {chosen})",  # noqa: S608 - ours
                {"sub": sub, "sid": sid},
            )

    def start_attempt(self, browser: str, attempt: Attempt) -> None:
        """Remember a sign-in that leaves for the provider, bound to the browser that asked for it."""
        key = (_digest(attempt.state), _digest(browser))
        kept = (attempt.nonce, attempt.code_verifier, attempt.target)
        row = (*key, *kept, now() + ATTEMPT_LIFETIME, attempt.max_age, attempt.acr_values)
        with self._connection() as connection:
            connection.execute("DELETE FROM attempt WHERE expires_at <= ?", (now(),))
            connection.execute("INSERT INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            connection.execute(
                "DELETE FROM attempt WHERE rowid <= (SELECT max(rowid) FROM attempt) - ?",
                (MAX_ATTEMPTS,),
            )

    def take_attempt(self, browser: str, state: str) -> Attempt | None:
        """Return the sign-in that this answer ends, and forget it in the same statement: an answer counts once."""
        query = (
            "DELETE FROM attempt WHERE state_digest = ? AND browser_digest = ? AND expires_at > ?"
            " RETURNING nonce, code_verifier, target, max_age, acr_values"
        )
        with self._connection() as connection:
            row = connection.execute(query, (_digest(state), _digest(browser), now())).fetchone()
        return None if row is None else Attempt(state, *row)

    def find_address(self, issuer: str, sub: str) -> str | None:
        """Return where this person wants to be written to; `sub` is unique within an issuer only."""
        query = "SELECT address FROM notification_address WHERE issuer = ? AND sub = ?"
        with self._connection() as connection:
            row = connection.execute(query, (issuer, sub)).fetchone()
        return None if row is None else str(row[0])

    def save_address(self, issuer: str, sub: str, address: str) -> None:
        """Keep where this person wants to be written to."""
        with self._connection() as connection:
            connection.execute(
                "INSERT INTO notification_address VALUES (?, ?, ?, ?)"
                " ON CONFLICT (issuer, sub) DO UPDATE SET address = excluded.address, saved_at = excluded.saved_at",
                (issuer, sub, address, now()),
            )

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Open a connection for one transaction, committed at the end or rolled back whole."""
        with closing(sqlite3.connect(self._path, timeout=5)) as connection, connection:
            connection.execute("PRAGMA foreign_keys=ON")  # who a session was for goes with it
            yield connection


def _digest(secret: str) -> bytes:
    """Return what is stored in the place of a random secret."""
    return hashlib.sha256(secret.encode()).digest()
