"""The store: one statement a request. All parts of a statement see one snapshot, and commit together."""

from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, cast, get_type_hints

from idp.oidc.store import sql
from idp.oidc.store.contract import CodeRequest, Grant, Holder, Redemption, Rotation
from idp.statements import Connections, Statement

_ISSUE_CODE = Statement(
    f"""
WITH ready AS MATERIALIZED (
  SELECT s.id, s.account_id, s.sid, s.last_seen_at, s.acr, s.auth_time {sql.READY_SESSION}
), pushed AS (
  UPDATE pushed_request SET used_at = :now WHERE {sql.UNUSED_PUSHED_REQUEST} AND EXISTS (SELECT 1 FROM ready)
  RETURNING digest
), s AS MATERIALIZED (
  SELECT * FROM ready WHERE :pushed_digest IS NULL OR EXISTS (SELECT 1 FROM pushed)
), touched AS (
  UPDATE session SET last_seen_at = :now WHERE id = (SELECT id FROM s WHERE last_seen_at < :touch_before)
), code AS (
  {sql.INSERT_CODE} FROM s
), journal AS (
  {sql.INSERT_AUDIT} s.account_id, json_build_object('sid', s.sid), substring(:journal_key FROM 1 FOR 4)
    || sha256(convert_to(s.account_id::text || s.sid, 'UTF8') || :journal_key) FROM s
)
SELECT sid FROM s
""",  # noqa: S608 - made of constants
    get_type_hints(CodeRequest),
)


def _exchange(claim: str, request: type, *more_columns: str) -> Statement:
    """Return the statement that runs `claim`, stores the tokens and returns the grant, with `more_columns`."""
    claimed = ", ".join(f"claimed.{name}" for name in sql.CLAIMED)
    answer = ", ".join((sql.GRANT, *more_columns))
    text = f"""
WITH claimed AS ({claim}), live AS MATERIALIZED (
  SELECT {claimed}, {sql.GRANT_COLUMNS} FROM claimed JOIN session s ON s.id = claimed.session_id {sql.GRANT_TABLES}
), tokens AS ({sql.INSERT_TOKENS} RETURNING kind)
SELECT {answer} FROM live
"""  # noqa: S608 - made of constants
    return Statement(text, {"access_scope": str} | get_type_hints(request))


_REDEEM_CODE = _exchange(sql.CLAIM_CODE, Redemption)

_REFRESH = _exchange(
    sql.CLAIM_REFRESH_TOKEN,
    Rotation,
    """(:refresh_digest IS NULL OR EXISTS (SELECT 1 FROM tokens WHERE kind = 'r')
    OR EXISTS (SELECT 1 FROM token WHERE digest = :refresh_digest)) AS is_successor_seen""",
)

_FIND_HOLDER = Statement(sql.HOLDER, {"digest": bytes, "now": datetime})


def _values(request: Any) -> dict[str, Any]:
    names = request.__slots__
    return dict(zip(names, _getter(names)(request), strict=True))


@cache
def _getter(names: tuple[str, ...]) -> "attrgetter[tuple[Any, ...]]":
    return attrgetter(*names)


class Store:
    """The four requests. Each returns None if one of its conditions does not hold.

    All raise `sqlalchemy.exc.OperationalError` if the database is unreachable, or locked for too long.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def issue_code(self, request: CodeRequest) -> str | None:
        """Store a code, use up the pushed request, record the audit entry; return the session's `sid`."""
        row = self._one(_ISSUE_CODE, _values(request))
        return cast("str", row[0]) if row else None

    def redeem_code(self, request: Redemption) -> Grant | None:
        """Use a code up and store its tokens. At most one call for a code returns a grant."""
        row = self._one(_REDEEM_CODE, _values(request) | {"access_scope": None})
        return Grant(*row) if row else None

    def refresh(self, request: Rotation) -> Grant | None:
        """Use a refresh token and store the pair that follows it, in the same family.

        A concurrent request may store the successor after our snapshot was taken: then our INSERT meets it, and our
        SELECT does not see it. The statement runs again, so that it sees whether the successor may be given again. A
        refused token returns no row, and does not run the statement again.
        """
        values = _values(request)
        *grant, is_successor_seen = self._one(_REFRESH, values) or (None,)
        if grant and not is_successor_seen:
            *grant, _ = self._one(_REFRESH, values) or (None,)
        return Grant(*grant) if grant else None

    def find_holder(self, access_digest: bytes, moment: datetime) -> Holder | None:
        """Return the holder of an access token that is valid at `moment`."""
        row = self._one(_FIND_HOLDER, {"digest": access_digest, "now": moment})
        return Holder(*row) if row else None

    def _one(self, statement: Statement, values: dict[str, Any]) -> tuple[Any, ...] | None:
        with self._connections.lend() as connection:
            return statement.fetch_row(connection, values)
