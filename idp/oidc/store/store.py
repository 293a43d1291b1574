"""The store: one statement a request. All parts of a statement see one snapshot, and commit together.

A placeholder `:name` is a field of the request (`idp.oidc.store.contract`); its annotation is the type of the
parameter. The columns of an answer are the fields of the result, in their order: the list is made of the fields, so
that a row can be unpacked into the result.
"""

from dataclasses import fields
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, cast, get_type_hints

from idp.clients import audience
from idp.oidc.store.contract import CodeRequest, Grant, Holder, Redemption, Rotation
from idp.sessions import liveness
from idp.statements import Connections, Statement

_ADMITS = audience.admits_sql(client="c", account="a.id", moment=":now")
_HOLDING = liveness.holding_sql(session="s", account="a", moment=":now")
_LIVE = liveness.live_sql(session="s", account="a", moment=":now", idle_since=":idle_since")
_CURRENT_CLIENT = "c.version = :client_version AND c.disabled_at IS NULL"
_CHARTER_OF_CLIENT = """
LEFT JOIN charter_version cv ON cv.id = c.charter_version_id
LEFT JOIN charter_acceptance ca ON ca.charter_version_id = c.charter_version_id AND ca.account_id = a.id
"""

# Codes

READY_SESSION = f"""
FROM session s JOIN account a ON a.id = s.account_id
WHERE s.digest = :cookie_digest AND {_LIVE} AND (a.email IS NOT NULL OR NOT :mail_required)
  AND EXISTS (SELECT 1 FROM client c
    WHERE c.id = :client AND {_CURRENT_CLIENT}
      AND (NOT :charter OR EXISTS (SELECT 1 FROM charter_acceptance ca
        WHERE ca.account_id = a.id AND ca.charter_version_id = c.charter_version_id))
      AND {_ADMITS})
"""  # noqa: S608 - made of constants
"""The session `s` and the account `a` of the cookie, if it is live, the person owes no step, and the client is current
and may know the person."""

UNUSED_PUSHED_REQUEST = "digest = :pushed_digest AND client_id = :client AND used_at IS NULL"

INSERT_CODE = """
INSERT INTO authorization_code (digest, family, client_id, account_id, session_id, redirect_uri, scope, nonce,
  code_challenge, claims, jkt, acr, auth_time, expires_at)
SELECT :code_digest, :family, :client, s.account_id, s.id, :redirect_uri, :scope, :nonce, :challenge, :claims, :jkt,
  s.acr, s.auth_time, :expires_at
"""
"""To be followed by the FROM that gives the session `s`."""

INSERT_AUDIT = """
INSERT INTO audit (at, kind, result, client_id, actor, ip, request_id, salt, account_id, details, mac)
SELECT :now, 'code.issued', 'ok', :client, '', :ip, :request_id, :journal_salt,
"""
"""To be followed by the account, the details and the MAC."""

# Redemption of a code or a refresh token: the UPDATE whose WHERE is the decision. Both return the same columns.

CLAIMED = (
    "family",
    "account_id",
    "session_id",
    "scope",
    "nonce",
    "acr",
    "claims",
    "auth_time",
    "jkt",
    "family_expires_at",
)

_STILL_HOLDS = f"""
  AND EXISTS (SELECT 1 FROM session s JOIN account a ON a.id = s.account_id JOIN client c ON c.id = :client
    WHERE s.id = session_id AND {_HOLDING} AND {_CURRENT_CLIENT} AND {_ADMITS})
"""  # noqa: S608 - made of constants

CLAIM_CODE = f"""
UPDATE authorization_code SET used_at = :now
WHERE digest = :code_digest AND used_at IS NULL AND client_id = :client AND expires_at > :now
  AND redirect_uri = :redirect_uri AND code_challenge IS NOT DISTINCT FROM :challenge
  AND (jkt IS NULL OR jkt = :jkt) {_STILL_HOLDS}
RETURNING family, account_id, session_id, scope, nonce, acr, claims, auth_time, :jkt AS jkt,
  :family_expires_at AS family_expires_at
"""  # noqa: S608 - made of constants

CLAIM_REFRESH_TOKEN = f"""
UPDATE token SET
  used_at = CASE WHEN :refresh_digest IS NULL THEN used_at ELSE coalesce(used_at, :now) END,
  expires_at = CASE
    WHEN :refresh_digest IS NOT NULL THEN expires_at
    WHEN :refresh_expires_at < family_expires_at THEN :refresh_expires_at
    ELSE family_expires_at END
WHERE digest = :old_digest AND kind = 'r' AND client_id = :client AND revoked_at IS NULL
  AND expires_at > :now AND family_expires_at > :now AND (used_at IS NULL OR used_at > :grace_since)
  AND (jkt IS NULL OR (:jkt IS NOT NULL AND (NOT :same_key OR jkt = :jkt))) {_STILL_HOLDS}
  AND NOT EXISTS (SELECT 1 FROM token successor WHERE successor.digest = :refresh_digest
    AND successor.jkt IS DISTINCT FROM :jkt
    AND (:same_key OR successor.jkt IS NULL OR :jkt IS NULL))
RETURNING family, account_id, session_id, scope, NULL AS nonce, acr, claims, auth_time, :jkt AS jkt,
  family_expires_at
"""  # noqa: S608 - made of constants
"""Refuse if the successor is bound to another DPoP key: the caller is not the client whose answer was lost."""

INSERT_TOKENS = """
INSERT INTO token (digest, kind, family, client_id, account_id, session_id, scope, claims, jkt, acr, auth_time,
  expires_at, family_expires_at)
SELECT new.digest, new.kind, claimed.family, :client, claimed.account_id, claimed.session_id,
  coalesce(new.scope, claimed.scope), claimed.claims, claimed.jkt, claimed.acr, claimed.auth_time,
  CASE WHEN new.kind = 'a' OR new.expires_at < claimed.family_expires_at THEN new.expires_at
    ELSE claimed.family_expires_at END,
  CASE WHEN new.kind = 'r' THEN claimed.family_expires_at END
FROM live claimed CROSS JOIN (
  SELECT :access_digest AS digest, 'a' AS kind, :access_scope AS scope, :access_expires_at AS expires_at
  UNION ALL SELECT :refresh_digest, 'r', NULL, :refresh_expires_at) new
WHERE new.digest IS NOT NULL AND (new.kind = 'a' OR 'offline_access' = ANY (string_to_array(claimed.scope, ' ')))
ON CONFLICT (digest) DO NOTHING
"""
"""`live` is the row that was claimed, with its grant."""

GRANT_COLUMNS = "a.join_key, s.sid, cv.version AS charter_version, ca.accepted_at AS charter_accepted_at"
GRANT_TABLES = f"""
JOIN account a ON a.id = s.account_id JOIN client c ON c.id = :client {_CHARTER_OF_CLIENT}
"""
"""The tables of `GRANT_COLUMNS`, beside the session `s`."""
GRANT = ", ".join(field.name for field in fields(Grant))  # the columns of a grant

# Access tokens

_CHILDREN = f"""(SELECT coalesce(json_agg(json_build_object(
    'given_name', k.given_name, 'family_name', k.family_name, 'class', k.class_name, 'uai', k.uai,
    'student_id', k.student_id, 'degree', k.degree) ORDER BY k.rank), '[]')
  FROM {audience.known_children_sql(client="c", account="a.id", moment=":now")} k)"""  # noqa: S608 - made of constants

# Where the fields of a holder come from; the others are columns of the account under their own names.
_HOLDER_SOURCES = {
    "scope": "t.scope",
    "claims": "t.claims",
    "jkt": "t.jkt",
    "client_id": "c.client_id",
    "client_key": "c.id",
    "client_version": "c.version",
    "account_id": "a.id",
    "charter_version": "cv.version",
    "charter_accepted_at": "ca.accepted_at",
    "children": _CHILDREN,
}
_HOLDER_COLUMNS = ", ".join(
    f"{_HOLDER_SOURCES.get(field.name, f'a.{field.name}')} AS {field.name}" for field in fields(Holder)
)

HOLDER = f"""
SELECT {_HOLDER_COLUMNS}
FROM token t
JOIN session s ON s.id = t.session_id
JOIN account a ON a.id = t.account_id AND {_HOLDING}
JOIN client c ON c.id = t.client_id AND c.disabled_at IS NULL AND {_ADMITS} {_CHARTER_OF_CLIENT}
WHERE t.digest = :digest AND t.kind = 'a' AND t.revoked_at IS NULL AND t.expires_at > :now
"""  # noqa: S608 - made of constants

_ISSUE_CODE = Statement(
    f"""
WITH ready AS MATERIALIZED (
  SELECT s.id, s.account_id, s.sid, s.last_seen_at, s.acr, s.auth_time {READY_SESSION}
), pushed AS (
  UPDATE pushed_request SET used_at = :now WHERE {UNUSED_PUSHED_REQUEST} AND EXISTS (SELECT 1 FROM ready)
  RETURNING digest
), s AS MATERIALIZED (
  SELECT * FROM ready WHERE :pushed_digest IS NULL OR EXISTS (SELECT 1 FROM pushed)
), touched AS (
  UPDATE session SET last_seen_at = :now WHERE id = (SELECT id FROM s WHERE last_seen_at < :touch_before)
), code AS (
  {INSERT_CODE} FROM s
), journal AS (
  {INSERT_AUDIT} s.account_id, json_build_object('sid', s.sid), substring(:journal_key FROM 1 FOR 4)
    || sha256(convert_to(s.account_id::text || s.sid, 'UTF8') || :journal_key) FROM s
)
SELECT sid FROM s
""",  # noqa: S608 - made of constants
    get_type_hints(CodeRequest),
)


def _exchange(claim: str, request: type, *more_columns: str) -> Statement:
    """Return the statement that runs `claim`, stores the tokens and returns the grant, with `more_columns`."""
    claimed = ", ".join(f"claimed.{name}" for name in CLAIMED)
    answer = ", ".join((GRANT, *more_columns))
    text = f"""
WITH claimed AS ({claim}), live AS MATERIALIZED (
  SELECT {claimed}, {GRANT_COLUMNS} FROM claimed JOIN session s ON s.id = claimed.session_id {GRANT_TABLES}
), tokens AS ({INSERT_TOKENS} RETURNING kind)
SELECT {answer} FROM live
"""  # noqa: S608 - made of constants
    return Statement(text, {"access_scope": str} | get_type_hints(request))


_REDEEM_CODE = _exchange(CLAIM_CODE, Redemption)

_REFRESH = _exchange(
    CLAIM_REFRESH_TOKEN,
    Rotation,
    """(:refresh_digest IS NULL OR EXISTS (SELECT 1 FROM tokens WHERE kind = 'r')
    OR EXISTS (SELECT 1 FROM token WHERE digest = :refresh_digest)) AS is_successor_seen""",
)

_FIND_HOLDER = Statement(HOLDER, {"digest": bytes, "now": datetime})


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
