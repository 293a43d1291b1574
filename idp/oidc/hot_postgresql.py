"""The store on PostgreSQL: one statement a request. All parts of a statement see one snapshot, and commit together."""

import uuid
from datetime import datetime
from typing import Any

from idp.oidc.hot import CodeRequest, Connections, Granted, Holder, Redemption, Rotation

_AUTHORIZE = """
WITH s AS MATERIALIZED (
  SELECT s.id, s.account_id, s.sid, s.last_seen_at FROM session s JOIN account a ON a.id = s.account_id
  WHERE s.digest = %(cookie_digest)s AND s.ended_at IS NULL
    AND s.expires_at > %(now)s AND s.last_seen_at > %(idle_since)s
    AND a.disabled_at IS NULL AND a.generation = s.generation
    AND (a.email IS NOT NULL OR NOT %(mail_required)s)
    AND EXISTS (SELECT 1 FROM client c
      WHERE c.id = %(client)s AND c.version = %(client_version)s AND c.disabled_at IS NULL
        AND (NOT %(charter)s OR EXISTS (SELECT 1 FROM charter_acceptance ca
          WHERE ca.account_id = a.id AND ca.charter_version_id = c.charter_version_id)))
), touched AS (
  UPDATE session SET last_seen_at = %(now)s
  WHERE id = (SELECT id FROM s WHERE last_seen_at < %(touch_before)s)
), code AS (
  INSERT INTO authorization_code (digest, family, client_id, account_id, session_id, redirect_uri, scope, nonce,
    code_challenge, acr, expires_at)
  SELECT %(code_digest)s, %(family)s, %(client)s, s.account_id, s.id, %(redirect_uri)s, %(scope)s, %(nonce)s,
    %(challenge)s, %(acr)s, %(expires_at)s FROM s
), journal AS (
  INSERT INTO audit (at, kind, result, account_id, client_id, actor, address, request_id, details)
  SELECT %(now)s, 'code.issued', 'ok', s.account_id, %(client)s, '', %(address)s, %(request_id)s,
    json_build_object('sid', s.sid) FROM s
)
SELECT account_id FROM s
"""

_LIVE = """
  SELECT c.family, c.account_id, c.session_id, c.scope, c.nonce, c.acr, a.join_key, s.sid, s.amr, s.auth_time,
    cv.version AS charter_version, ca.accepted_at AS charter_accepted_at
  FROM claimed c
  JOIN session s ON s.id = c.session_id
  JOIN account a ON a.id = c.account_id
  JOIN client cl ON cl.id = %(client)s
  LEFT JOIN charter_version cv ON cv.id = cl.charter_version_id
  LEFT JOIN charter_acceptance ca ON ca.charter_version_id = cl.charter_version_id AND ca.account_id = a.id
"""

_ANSWER = """
SELECT account_id, join_key, sid, amr, auth_time, scope, nonce, acr, charter_version, charter_accepted_at FROM live
"""

_STILL_HOLDS = """
    AND EXISTS (SELECT 1 FROM client WHERE id = %(client)s AND version = %(client_version)s AND disabled_at IS NULL)
    AND EXISTS (SELECT 1 FROM session s JOIN account a ON a.id = s.account_id
      WHERE s.id = session_id AND s.ended_at IS NULL AND a.disabled_at IS NULL AND a.generation = s.generation)
"""

_REDEEM = f"""
WITH claimed AS (
  UPDATE authorization_code SET used_at = %(now)s
  WHERE digest = %(code_digest)s AND used_at IS NULL AND client_id = %(client)s AND expires_at > %(now)s
    AND redirect_uri = %(redirect_uri)s AND code_challenge IS NOT DISTINCT FROM %(challenge)s {_STILL_HOLDS}
  RETURNING family, account_id, session_id, scope, nonce, acr
), live AS MATERIALIZED ({_LIVE}), tokens AS (
  INSERT INTO token (digest, kind, family, client_id, account_id, session_id, scope, expires_at, family_expires_at)
  SELECT t.digest, t.kind, live.family, %(client)s, live.account_id, live.session_id, live.scope, t.expires_at,
    t.family_expires_at
  FROM live CROSS JOIN (VALUES
    (%(access_digest)s::bytea, 'a', %(access_expires_at)s::timestamptz, NULL::timestamptz),
    (%(refresh_digest)s::bytea, 'r', %(refresh_expires_at)s::timestamptz, %(family_expires_at)s::timestamptz)
  ) AS t(digest, kind, expires_at, family_expires_at)
  WHERE t.digest IS NOT NULL AND (t.kind = 'a' OR 'offline_access' = ANY (string_to_array(live.scope, ' ')))
) {_ANSWER}
"""  # noqa: S608 - made of constants

_REFRESH = f"""
WITH claimed AS (
  UPDATE token SET used_at = coalesce(used_at, %(now)s)
  WHERE digest = %(old_digest)s AND kind = 'r' AND client_id = %(client)s AND revoked_at IS NULL
    AND expires_at > %(now)s AND family_expires_at > %(now)s
    AND (used_at IS NULL OR used_at > %(grace_since)s) {_STILL_HOLDS}
  RETURNING family, account_id, session_id, scope, NULL::text AS nonce, NULL::text AS acr, family_expires_at
), live AS MATERIALIZED ({_LIVE}), tokens AS (
  INSERT INTO token (digest, kind, family, client_id, account_id, session_id, scope, expires_at, family_expires_at)
  SELECT t.digest, t.kind, live.family, %(client)s, live.account_id, live.session_id, coalesce(t.scope, live.scope),
    CASE t.kind WHEN 'a' THEN t.expires_at ELSE least(t.expires_at, claimed.family_expires_at) END,
    CASE t.kind WHEN 'r' THEN claimed.family_expires_at END
  FROM live CROSS JOIN claimed CROSS JOIN (VALUES
    (%(access_digest)s::bytea, 'a', %(access_expires_at)s::timestamptz, %(access_scope)s::text),
    (%(refresh_digest)s::bytea, 'r', %(refresh_expires_at)s::timestamptz, NULL::text)
  ) AS t(digest, kind, expires_at, scope)
) {_ANSWER}
"""  # noqa: S608 - made of constants

_HOLDER = """
SELECT t.scope, c.client_id, c.id, c.version, a.id, a.join_key, a.username, a.profile, a.given_name, a.family_name,
  a.locale, a.updated_at, a.email, cv.version, ca.accepted_at,
  (SELECT json_agg(json_build_object('given_name', ch.given_name, 'family_name', ch.family_name,
      'class', ch.class_name, 'uai', sc.uai, 'student_id', ch.student_id, 'degree', sc.degree) ORDER BY g.rank)
    FROM guardianship g JOIN child ch ON ch.id = g.child_id JOIN school sc ON sc.id = ch.school_id
    JOIN client_school cs ON cs.client_id = t.client_id AND cs.uai = sc.uai
    WHERE g.account_id = a.id AND g.disputed_at IS NULL AND g.ended_at IS NULL)
FROM token t
JOIN session s ON s.id = t.session_id AND s.ended_at IS NULL
JOIN account a ON a.id = t.account_id AND a.disabled_at IS NULL AND a.generation = s.generation
JOIN client c ON c.id = t.client_id AND c.disabled_at IS NULL
LEFT JOIN charter_version cv ON cv.id = c.charter_version_id
LEFT JOIN charter_acceptance ca ON ca.charter_version_id = c.charter_version_id AND ca.account_id = a.id
WHERE t.digest = %(digest)s AND t.kind = 'a' AND t.revoked_at IS NULL AND t.expires_at > %(now)s
"""


def _values(request: Any) -> dict[str, Any]:
    return {name: getattr(request, name) for name in request.__slots__}


class PostgresqlStore:
    """See `idp.oidc.hot.Store`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self.close = connections.close

    def authorize(self, request: CodeRequest) -> uuid.UUID | None:
        """Store a code and return the account's id."""
        row = self._one(_AUTHORIZE, _values(request))
        return row[0] if row else None

    def redeem(self, request: Redemption) -> Granted | None:
        """Claim a code and store its tokens."""
        row = self._one(_REDEEM, _values(request))
        return Granted(*row) if row else None

    def refresh(self, request: Rotation) -> Granted | None:
        """Exchange a refresh token for a new pair."""
        row = self._one(_REFRESH, _values(request))
        return Granted(*row) if row else None

    def holder(self, access_digest: bytes, moment: datetime) -> Holder | None:
        """Return whom a live access token stands for."""
        row = self._one(_HOLDER, {"digest": access_digest, "now": moment})
        return Holder(*(*row[:15], row[15] or [])) if row else None

    def _one(self, statement: str, values: dict[str, Any]) -> tuple[Any, ...] | None:
        with self._connections.cursor() as cursor:
            row: tuple[Any, ...] | None = cursor.execute(statement, values).fetchone()
            return row
