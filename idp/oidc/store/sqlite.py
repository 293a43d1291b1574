"""The store on SQLite: few statements inside one BEGIN IMMEDIATE transaction, since it has no data-modifying CTE."""

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from idp.audit import chain
from idp.oidc.store import sql
from idp.oidc.store.contract import CodeRequest, Grant, Holder, Redemption, Rotation
from idp.statements.connections import Connections


def _dialect(statement: str) -> str:
    """Return the statement as SQLite reads it: its IS takes any operand."""
    return statement.replace("IS NOT DISTINCT FROM", "IS").replace("IS DISTINCT FROM", "IS NOT")


_ISSUE_CODE = _dialect(f"""
{sql.INSERT_CODE} {sql.READY_SESSION}
  AND (:pushed_digest IS NULL OR EXISTS (SELECT 1 FROM pushed_request WHERE {sql.UNUSED_PUSHED_REQUEST}))
RETURNING account_id, (SELECT s.sid FROM session s WHERE s.digest = :cookie_digest) AS sid,
  (SELECT s.last_seen_at < :touch_before FROM session s WHERE s.digest = :cookie_digest) AS is_touch_due
""")  # noqa: S608 - made of constants
_INSERT_AUDIT = f"{sql.INSERT_AUDIT} :account_id, :details, :journal_mac"
_USE_PUSHED = "UPDATE pushed_request SET used_at = :now WHERE digest = :pushed_digest"
_TOUCH = "UPDATE session SET last_seen_at = :now WHERE digest = :cookie_digest"

_CLAIM_CODE = _dialect(sql.CLAIM_CODE)
_CLAIM_REFRESH_TOKEN = _dialect(sql.CLAIM_REFRESH_TOKEN)
_INSERT_TOKENS = _dialect(
    sql.INSERT_TOKENS.format(
        claimed=f"(SELECT {', '.join(f':{name} AS {name}' for name in sql.CLAIMED)}) claimed",
        is_offline="instr(' ' || claimed.scope || ' ', ' offline_access ')",
    )
)
_READ_GRANT = f"SELECT {sql.GRANT_COLUMNS} FROM session s {sql.GRANT_TABLES} WHERE s.id = :session_id"  # noqa: S608 - made of constants

_CHILDREN = f"""(SELECT json_group_array(json_object({sql.CHILD_MEMBERS}))
  FROM (SELECT * FROM {sql.CHILDREN} ORDER BY rank) k)"""  # noqa: S608 - made of constants
_FIND_HOLDER = _dialect(sql.HOLDER.format(children=_CHILDREN))

_FORMAT = "%Y-%m-%d %H:%M:%S.%f"
_TURN_TIMEOUT = 5.0  # seconds


def _stored(value: Any) -> Any:
    """Return `value` as SQLAlchemy stores it in SQLite."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime(_FORMAT)
    return value.hex if isinstance(value, uuid.UUID) else value


def _instant(value: str) -> datetime:
    return datetime.strptime(value, _FORMAT).replace(tzinfo=UTC)


_READ: dict[str, Callable[[str], Any]] = {
    "account_id": uuid.UUID,
    "client_key": uuid.UUID,
    "auth_time": _instant,
    "updated_at": _instant,
    "charter_accepted_at": _instant,
    "address_lines": json.loads,
    "more_claims": json.loads,
    "children": json.loads,
}
"""How to read a column whose type SQLite does not have."""


def _read(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with the values that PostgreSQL's driver would give."""
    return {name: _READ[name](value) if name in _READ and value is not None else value for name, value in row.items()}


def _values(request: Any) -> dict[str, Any]:
    return {name: _stored(getattr(request, name)) for name in request.__slots__}


class SqliteStore:
    """The store of `idp.oidc.store.contract.Store` on SQLite."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._turn = threading.Lock()

    def issue_code(self, request: CodeRequest) -> str | None:
        """Store a code."""
        values = _values(request)
        with self._transaction() as cursor:
            row = _one(cursor, _ISSUE_CODE, values)
            if row is None:
                return None
            sid: str = row["sid"]
            values["account_id"] = row["account_id"]
            values["details"] = json.dumps({"sid": sid})
            values["journal_mac"] = chain.bind(request.journal_key, uuid.UUID(row["account_id"]), sid)
            cursor.execute(_INSERT_AUDIT, values)
            if request.pushed_digest:
                cursor.execute(_USE_PUSHED, values)
            if row["is_touch_due"]:
                cursor.execute(_TOUCH, values)
        return sid

    def redeem_code(self, request: Redemption) -> Grant | None:
        """Use a code up and store its tokens."""
        return self._exchange(_CLAIM_CODE, _values(request) | {"access_scope": None})

    def refresh(self, request: Rotation) -> Grant | None:
        """Use a refresh token and store the pair that follows it."""
        return self._exchange(_CLAIM_REFRESH_TOKEN, _values(request))

    def _exchange(self, claim: str, values: dict[str, Any]) -> Grant | None:
        with self._transaction() as cursor:
            claimed = _one(cursor, claim, values)
            if claimed is None:
                return None
            values |= claimed
            cursor.execute(_INSERT_TOKENS, values)
            session = _one(cursor, _READ_GRANT, values) or {}
        answer = _read(claimed | session)
        return Grant(**{name: answer[name] for name in Grant.__slots__})

    def find_holder(self, access_digest: bytes, moment: datetime) -> Holder | None:
        """Return the holder of a valid access token."""
        with self._connections.lend() as connection:
            row = _one(connection.cursor(), _FIND_HOLDER, {"digest": access_digest, "now": _stored(moment)})
        return Holder(**_read(row)) if row else None

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        """Run BEGIN IMMEDIATE and COMMIT, or ROLLBACK after an exception.

        SQLite's own wait for the write lock is a sleep that grows with each try, so the threads of this process wait
        for a lock of their own first. After its timeout, SQLite reports whether the database is still locked.
        """
        in_turn = self._turn.acquire(timeout=_TURN_TIMEOUT)
        try:
            with self._connections.lend() as connection:
                cursor = connection.cursor()
                cursor.execute("BEGIN IMMEDIATE")
                try:
                    yield cursor
                except BaseException:
                    cursor.execute("ROLLBACK")
                    raise
                cursor.execute("COMMIT")
        finally:
            if in_turn:
                self._turn.release()


def _one(cursor: Any, statement: str, values: dict[str, Any]) -> dict[str, Any] | None:
    """Return the one row of a statement, by the names of its columns."""
    row = cursor.execute(statement, values).fetchone()
    return {name: value for (name, *_), value in zip(cursor.description, row, strict=True)} if row else None
