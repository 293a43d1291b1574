"""The store on PostgreSQL: one statement a request. All parts of a statement see one snapshot, and commit together."""

from datetime import datetime
from typing import Any

from idp.clients import audience
from idp.oidc.store.contract import CodeRequest, Connections, Granted, Holder, Redemption, Rotation
from idp.sessions import liveness

_MAY_KNOW = audience.admits_sql(client="c", account="a.id")
_CHILDREN = audience.known_children_sql(client="c", account="a.id")
_HOLDING = liveness.holding_sql(session="s", account="a")
_LIVE_SESSION = liveness.live_sql(session="s", account="a", moment="%(now)s", idle_since="%(idle_since)s")

_AUTHORIZE = f"""
WITH found AS MATERIALIZED (
  SELECT s.id, s.account_id, s.sid, s.last_seen_at, s.acr, s.auth_time
  FROM session s JOIN account a ON a.id = s.account_id
  WHERE s.digest = %(cookie_digest)s AND {_LIVE_SESSION}
    AND (a.email IS NOT NULL OR NOT %(mail_required)s)
    AND EXISTS (SELECT 1 FROM client c
      WHERE c.id = %(client)s AND c.version = %(client_version)s AND c.disabled_at IS NULL
        AND (NOT %(charter)s OR EXISTS (SELECT 1 FROM charter_acceptance ca
          WHERE ca.account_id = a.id AND ca.charter_version_id = c.charter_version_id))
        AND {_MAY_KNOW})
), pushed AS (
  UPDATE pushed_request SET used_at = %(now)s
  WHERE digest = %(pushed_digest)s AND client_id = %(client)s AND used_at IS NULL AND EXISTS (SELECT 1 FROM found)
  RETURNING digest
), s AS MATERIALIZED (
  SELECT * FROM found WHERE %(pushed_digest)s::bytea IS NULL OR EXISTS (SELECT 1 FROM pushed)
), touched AS (
  UPDATE session SET last_seen_at = %(now)s
  WHERE id = (SELECT id FROM s WHERE last_seen_at < %(touch_before)s)
), code AS (
  INSERT INTO authorization_code (digest, family, client_id, account_id, session_id, redirect_uri, scope, nonce,
    code_challenge, claims, jkt, acr, auth_time, expires_at)
  SELECT %(code_digest)s, %(family)s, %(client)s, s.account_id, s.id, %(redirect_uri)s, %(scope)s, %(nonce)s,
    %(challenge)s, %(claims)s, %(jkt)s, s.acr, s.auth_time, %(expires_at)s FROM s
), journal AS (
  INSERT INTO audit (at, kind, result, account_id, client_id, actor, address, request_id, details, salt, mac)
  SELECT %(now)s, 'code.issued', 'ok', s.account_id, %(client)s, '', %(address)s, %(request_id)s,
    json_build_object('sid', s.sid), %(journal_salt)s, substring(%(journal_key)s::bytea FROM 1 FOR 4)
      || sha256(convert_to(s.account_id::text || s.sid, 'UTF8') || %(journal_key)s::bytea) FROM s
)
SELECT sid FROM s
"""  # noqa: S608 - made of constants

_LIVE = """
  SELECT c.family, c.account_id, c.session_id, c.scope, c.nonce, c.acr, c.claims, c.jkt, c.auth_time,
    a.join_key, s.sid, s.amr, cv.version AS charter_version, ca.accepted_at AS charter_accepted_at
  FROM claimed c
  JOIN session s ON s.id = c.session_id
  JOIN account a ON a.id = c.account_id
  JOIN client cl ON cl.id = %(client)s
  LEFT JOIN charter_version cv ON cv.id = cl.charter_version_id
  LEFT JOIN charter_acceptance ca ON ca.charter_version_id = cl.charter_version_id AND ca.account_id = a.id
"""

_ANSWER = """
SELECT account_id, join_key, sid, amr, auth_time, scope, nonce, acr, claims, jkt, charter_version, charter_accepted_at
FROM live
"""

_STILL_HOLDS = f"""
    AND EXISTS (SELECT 1 FROM session s JOIN account a ON a.id = s.account_id JOIN client c ON c.id = %(client)s
      WHERE s.id = session_id AND {_HOLDING}
        AND c.version = %(client_version)s AND c.disabled_at IS NULL AND {_MAY_KNOW})
"""  # noqa: S608 - made of constants

_REDEEM = f"""
WITH claimed AS (
  UPDATE authorization_code SET used_at = %(now)s
  WHERE digest = %(code_digest)s AND used_at IS NULL AND client_id = %(client)s AND expires_at > %(now)s
    AND redirect_uri = %(redirect_uri)s AND code_challenge IS NOT DISTINCT FROM %(challenge)s
    AND (jkt IS NULL OR jkt = %(jkt)s) {_STILL_HOLDS}
  RETURNING family, account_id, session_id, scope, nonce, acr, claims, auth_time, %(jkt)s::text AS jkt
), live AS MATERIALIZED ({_LIVE}), tokens AS (
  INSERT INTO token (digest, kind, family, client_id, account_id, session_id, scope, claims, jkt, acr, auth_time,
    expires_at, family_expires_at)
  SELECT t.digest, t.kind, live.family, %(client)s, live.account_id, live.session_id, live.scope, live.claims, live.jkt,
    live.acr, live.auth_time, t.expires_at, t.family_expires_at
  FROM live CROSS JOIN (VALUES
    (%(access_digest)s::bytea, 'a', %(access_expires_at)s::timestamptz, NULL::timestamptz),
    (%(refresh_digest)s::bytea, 'r', %(refresh_expires_at)s::timestamptz, %(family_expires_at)s::timestamptz)
  ) AS t(digest, kind, expires_at, family_expires_at)
  WHERE t.digest IS NOT NULL AND (t.kind = 'a' OR 'offline_access' = ANY (string_to_array(live.scope, ' ')))
) {_ANSWER}
"""  # noqa: S608 - made of constants

_REFRESH = f"""
WITH claimed AS (
  UPDATE token SET
    used_at = CASE WHEN %(refresh_digest)s::bytea IS NULL THEN used_at ELSE coalesce(used_at, %(now)s) END,
    expires_at = CASE WHEN %(refresh_digest)s::bytea IS NULL
      THEN least(%(refresh_expires_at)s::timestamptz, family_expires_at) ELSE expires_at END
  WHERE digest = %(old_digest)s AND kind = 'r' AND client_id = %(client)s AND revoked_at IS NULL
    AND expires_at > %(now)s AND family_expires_at > %(now)s
    AND (used_at IS NULL OR used_at > %(grace_since)s)
    AND (jkt IS NULL OR (%(jkt)s::text IS NOT NULL AND (NOT %(same_key)s OR jkt = %(jkt)s))) {_STILL_HOLDS}
  RETURNING family, account_id, session_id, scope, NULL::text AS nonce, acr, claims, auth_time, %(jkt)s::text AS jkt,
    family_expires_at
), live AS MATERIALIZED ({_LIVE}), tokens AS (
  INSERT INTO token (digest, kind, family, client_id, account_id, session_id, scope, claims, jkt, acr, auth_time,
    expires_at, family_expires_at)
  SELECT t.digest, t.kind, live.family, %(client)s, live.account_id, live.session_id, coalesce(t.scope, live.scope),
    live.claims, live.jkt, live.acr, live.auth_time,
    CASE t.kind WHEN 'a' THEN t.expires_at ELSE least(t.expires_at, claimed.family_expires_at) END,
    CASE t.kind WHEN 'r' THEN claimed.family_expires_at END
  FROM live CROSS JOIN claimed CROSS JOIN (VALUES
    (%(access_digest)s::bytea, 'a', %(access_expires_at)s::timestamptz, %(access_scope)s::text),
    (%(refresh_digest)s::bytea, 'r', %(refresh_expires_at)s::timestamptz, NULL::text)
  ) AS t(digest, kind, expires_at, scope)
  WHERE t.digest IS NOT NULL
  ON CONFLICT (digest) DO NOTHING
  RETURNING kind
) {_ANSWER}
WHERE %(refresh_digest)s::bytea IS NULL OR EXISTS (SELECT 1 FROM tokens WHERE kind = 'r')
  OR EXISTS (SELECT 1 FROM token n WHERE n.digest = %(refresh_digest)s AND (n.jkt IS NOT DISTINCT FROM %(jkt)s::text
    OR (NOT %(same_key)s AND n.jkt IS NOT NULL AND %(jkt)s::text IS NOT NULL)))
"""  # noqa: S608 - made of constants

_HOLDER = f"""
SELECT t.scope, t.claims, t.jkt, c.client_id, c.id, c.version, a.id, a.join_key, a.username, a.profile,
  a.given_name, a.family_name, a.locale, a.updated_at, a.email, a.address_lines, a.postcode, a.city, a.country,
  a.more_claims, cv.version, ca.accepted_at,
  (SELECT json_agg(json_build_object('given_name', k.given_name, 'family_name', k.family_name,
      'class', k.class_name, 'uai', k.uai, 'student_id', k.student_id, 'degree', k.degree) ORDER BY k.rank)
    FROM {_CHILDREN} k)
FROM token t
JOIN session s ON s.id = t.session_id
JOIN account a ON a.id = t.account_id AND {_HOLDING}
JOIN client c ON c.id = t.client_id AND c.disabled_at IS NULL AND {_MAY_KNOW}
LEFT JOIN charter_version cv ON cv.id = c.charter_version_id
LEFT JOIN charter_acceptance ca ON ca.charter_version_id = c.charter_version_id AND ca.account_id = a.id
WHERE t.digest = %(digest)s AND t.kind = 'a' AND t.revoked_at IS NULL AND t.expires_at > %(now)s
"""  # noqa: S608 - made of constants


def _values(request: Any) -> dict[str, Any]:
    return {name: getattr(request, name) for name in request.__slots__}


class PostgresqlStore:
    """See `idp.oidc.store.contract.Store`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self.close = connections.close

    def authorize(self, request: CodeRequest) -> str | None:
        """Store a code and return the session's `sid`."""
        row = self._one(_AUTHORIZE, _values(request))
        return row[0] if row else None

    def redeem(self, request: Redemption) -> Granted | None:
        """Claim a code and store its tokens."""
        row = self._one(_REDEEM, _values(request))
        return Granted(*row) if row else None

    def refresh(self, request: Rotation) -> Granted | None:
        """Exchange a refresh token for a new pair.

        A successor that another request stored during the statement is not seen by it, and by the second one it is.
        """
        values = _values(request)
        row = self._one(_REFRESH, values) or self._one(_REFRESH, values)
        return Granted(*row) if row else None

    def holder(self, access_digest: bytes, moment: datetime) -> Holder | None:
        """Return whom a live access token stands for."""
        row = self._one(_HOLDER, {"digest": access_digest, "now": moment})
        return Holder(*(*row[:-1], row[-1] or [])) if row else None

    def _one(self, statement: str, values: dict[str, Any]) -> tuple[Any, ...] | None:
        with self._connections.cursor() as cursor:
            row: tuple[Any, ...] | None = cursor.execute(statement, values).fetchone()
            return row
