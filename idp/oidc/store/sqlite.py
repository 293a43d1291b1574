"""The store on SQLite: few statements inside one BEGIN IMMEDIATE transaction, since it has no data-modifying CTE."""

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from idp.audit import chain
from idp.clients import audience
from idp.oidc.store.contract import CodeRequest, Connections, Granted, Holder, Redemption, Rotation
from idp.sessions import liveness

_MAY_KNOW = audience.admits_sql(client="c", account="a.id")
_CHILDREN = audience.known_children_sql(client="c", account="a.id")
_HOLDING = liveness.holding_sql(session="s", account="a")
_LIVE_SESSION = liveness.live_sql(session="s", account="a", moment=":now", idle_since=":idle_since")

_AUTHORIZE = f"""
INSERT INTO authorization_code (digest, family, client_id, account_id, session_id, redirect_uri, scope, nonce,
  code_challenge, claims, jkt, acr, auth_time, expires_at)
SELECT :code_digest, :family, :client, s.account_id, s.id, :redirect_uri, :scope, :nonce, :challenge, :claims, :jkt,
  s.acr, s.auth_time, :expires_at
FROM session s JOIN account a ON a.id = s.account_id
WHERE s.digest = :cookie_digest AND {_LIVE_SESSION} AND (a.email IS NOT NULL OR NOT :mail_required)
  AND EXISTS (SELECT 1 FROM client c
    WHERE c.id = :client AND c.version = :client_version AND c.disabled_at IS NULL
      AND (NOT :charter OR EXISTS (SELECT 1 FROM charter_acceptance ca
        WHERE ca.account_id = a.id AND ca.charter_version_id = c.charter_version_id))
      AND {_MAY_KNOW})
  AND (:pushed_digest IS NULL OR EXISTS (SELECT 1 FROM pushed_request p
    WHERE p.digest = :pushed_digest AND p.client_id = :client AND p.used_at IS NULL))
RETURNING account_id, (SELECT s.sid FROM session s WHERE s.digest = :cookie_digest),
  (SELECT s.last_seen_at < :touch_before FROM session s WHERE s.digest = :cookie_digest)
"""  # noqa: S608 - made of constants

_JOURNAL = """
INSERT INTO audit (at, kind, result, account_id, client_id, actor, address, request_id, details, salt, mac)
VALUES (:now, 'code.issued', 'ok', :account, :client, '', :address, :request_id, :details, :journal_salt, :journal_mac)
"""

_PUSHED = "UPDATE pushed_request SET used_at = :now WHERE digest = :pushed_digest"

_TOUCH = "UPDATE session SET last_seen_at = :now WHERE digest = :cookie_digest"

_STILL_HOLDS = f"""
  AND EXISTS (SELECT 1 FROM session s JOIN account a ON a.id = s.account_id JOIN client c ON c.id = :client
    WHERE s.id = session_id AND {_HOLDING}
      AND c.version = :client_version AND c.disabled_at IS NULL AND {_MAY_KNOW})
"""  # noqa: S608 - made of constants

_CLAIM_CODE = f"""
UPDATE authorization_code SET used_at = :now
WHERE digest = :code_digest AND used_at IS NULL AND client_id = :client AND expires_at > :now
  AND redirect_uri = :redirect_uri AND code_challenge IS :challenge AND (jkt IS NULL OR jkt = :jkt) {_STILL_HOLDS}
RETURNING family, account_id, session_id, scope, nonce, acr, claims, auth_time, NULL
"""  # noqa: S608 - made of constants

_CLAIM_REFRESH = f"""
UPDATE token SET used_at = iif(:refresh_digest IS NULL, used_at, coalesce(used_at, :now)),
  expires_at = iif(:refresh_digest IS NULL, min(:refresh_expires_at, family_expires_at), expires_at)
WHERE digest = :old_digest AND kind = 'r' AND client_id = :client AND revoked_at IS NULL AND expires_at > :now
  AND family_expires_at > :now AND (used_at IS NULL OR used_at > :grace_since)
  AND (jkt IS NULL OR (:jkt IS NOT NULL AND (NOT :same_key OR jkt = :jkt))) {_STILL_HOLDS}
  AND NOT EXISTS (SELECT 1 FROM token n WHERE n.digest = :refresh_digest AND n.jkt IS NOT :jkt
    AND (:same_key OR n.jkt IS NULL OR :jkt IS NULL))
RETURNING family, account_id, session_id, scope, NULL, acr, claims, auth_time, family_expires_at
"""  # noqa: S608 - made of constants

_LIVE = """
SELECT a.join_key, s.sid, s.amr, cv.version, ca.accepted_at
FROM session s JOIN account a ON a.id = s.account_id JOIN client c ON c.id = :client
LEFT JOIN charter_version cv ON cv.id = c.charter_version_id
LEFT JOIN charter_acceptance ca ON ca.charter_version_id = c.charter_version_id AND ca.account_id = a.id
WHERE s.id = :session
"""

_TOKENS = """
INSERT INTO token (digest, kind, family, client_id, account_id, session_id, scope, claims, jkt, acr, auth_time,
  expires_at, family_expires_at)
SELECT digest, kind, :family, :client, :account, :session, scope, :claims, :jkt, :acr, :auth_time, expires_at,
  family_expires_at FROM (
  SELECT :access_digest AS digest, 'a' AS kind, :access_scope AS scope, :access_expires_at AS expires_at,
    NULL AS family_expires_at
  UNION ALL SELECT :refresh_digest, 'r', :scope, :refresh_expires_at, :family_expires_at)
WHERE digest IS NOT NULL
ON CONFLICT (digest) DO NOTHING
"""

_HOLDER = f"""
SELECT t.scope, t.claims, t.jkt, c.client_id, c.id, c.version, a.id, a.join_key, a.username, a.profile,
  a.given_name, a.family_name, a.locale, a.updated_at, a.email, a.address_lines, a.postcode, a.city, a.country,
  a.more_claims, cv.version, ca.accepted_at,
  (SELECT json_group_array(json_object('given_name', given_name, 'family_name', family_name, 'class', class_name,
      'uai', uai, 'student_id', student_id, 'degree', degree)) FROM (SELECT * FROM {_CHILDREN} ORDER BY rank))
FROM token t
JOIN session s ON s.id = t.session_id
JOIN account a ON a.id = t.account_id AND {_HOLDING}
JOIN client c ON c.id = t.client_id AND c.disabled_at IS NULL AND {_MAY_KNOW}
LEFT JOIN charter_version cv ON cv.id = c.charter_version_id
LEFT JOIN charter_acceptance ca ON ca.charter_version_id = c.charter_version_id AND ca.account_id = a.id
WHERE t.digest = :digest AND t.kind = 'a' AND t.revoked_at IS NULL AND t.expires_at > :now
"""  # noqa: S608 - made of constants

_FORMAT = "%Y-%m-%d %H:%M:%S.%f"
_PATIENCE = 5.0


def _stored(value: Any) -> Any:
    """Return `value` as SQLAlchemy stores it in SQLite, so that both read the same rows."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime(_FORMAT)
    return value.hex if isinstance(value, uuid.UUID) else value


def _values(request: Any, **more: Any) -> dict[str, Any]:
    named = {name: getattr(request, name) for name in request.__slots__}
    return {name: _stored(value) for name, value in {**named, **more}.items()}


def _instant(value: str | None) -> datetime | None:
    return datetime.strptime(value, _FORMAT).replace(tzinfo=UTC) if value else None


def _certain(value: str) -> datetime:
    return datetime.strptime(value, _FORMAT).replace(tzinfo=UTC)


class SqliteStore:
    """See `idp.oidc.store.contract.Store`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._turn = threading.Lock()
        self.close = connections.close

    def authorize(self, request: CodeRequest) -> str | None:
        """Store a code and return the session's `sid`."""
        values = _values(request)
        with self._transaction() as cursor:
            row = cursor.execute(_AUTHORIZE, values).fetchone()
            if row is None:
                return None
            account, sid, stale = row
            mac = chain.bind(request.journal_key, uuid.UUID(account), sid)
            entry = {"account": account, "details": json.dumps({"sid": sid}), "journal_mac": mac}
            cursor.execute(_JOURNAL, {**values, **entry})
            if request.pushed_digest:
                cursor.execute(_PUSHED, values)
            if stale:
                cursor.execute(_TOUCH, values)
        return str(sid)

    def redeem(self, request: Redemption) -> Granted | None:
        """Claim a code and store its tokens."""
        return self._grant(_CLAIM_CODE, _values(request, access_scope=None))

    def refresh(self, request: Rotation) -> Granted | None:
        """Exchange a refresh token for a new pair."""
        return self._grant(_CLAIM_REFRESH, _values(request))

    def _grant(self, claim: str, values: dict[str, Any]) -> Granted | None:
        with self._transaction() as cursor:
            claimed = cursor.execute(claim, values).fetchone()
            if claimed is None:
                return None
            family, account, session, scope, nonce, acr, wanted, auth_time, family_expires_at = claimed
            values |= {"family": family, "account": account, "session": session, "scope": scope}
            values |= {"claims": wanted, "acr": acr, "auth_time": auth_time}
            if family_expires_at:
                values["family_expires_at"] = family_expires_at
                values["refresh_expires_at"] = min(values["refresh_expires_at"], family_expires_at)
            values["access_scope"] = values["access_scope"] or scope
            if claim is _CLAIM_CODE and "offline_access" not in scope.split():
                values["refresh_digest"] = None
            live = cursor.execute(_LIVE, values).fetchone()
            cursor.execute(_TOKENS, values)
        join_key, sid, amr, version, accepted_at = live
        return Granted(
            account_id=uuid.UUID(account),
            join_key=join_key,
            sid=sid,
            amr=json.loads(amr),
            auth_time=_certain(auth_time),
            scope=scope,
            nonce=nonce,
            acr=acr,
            claims=wanted,
            jkt=values["jkt"],
            charter_version=version,
            charter_accepted_at=_instant(accepted_at),
        )

    def holder(self, access_digest: bytes, moment: datetime) -> Holder | None:
        """Return whom a live access token stands for."""
        with self._connections.cursor() as cursor:
            row = cursor.execute(_HOLDER, {"digest": access_digest, "now": _stored(moment)}).fetchone()
        if row is None:
            return None
        (scope, wanted, jkt, client_id, client_key, client_version, account_id, *person) = row
        (join_key, username, profile, given_name, family_name, locale, updated_at, email, *rest) = person
        (lines, postcode, city, country, more_claims, charter_version, accepted_at, children) = rest
        return Holder(
            scope=scope,
            claims=wanted,
            jkt=jkt,
            client_id=client_id,
            client_key=uuid.UUID(client_key),
            client_version=client_version,
            account_id=uuid.UUID(account_id),
            join_key=join_key,
            username=username,
            profile=profile,
            given_name=given_name,
            family_name=family_name,
            locale=locale,
            updated_at=_certain(updated_at),
            email=email,
            address_lines=json.loads(lines),
            postcode=postcode,
            city=city,
            country=country,
            more_claims=json.loads(more_claims),
            charter_version=charter_version,
            charter_accepted_at=_instant(accepted_at),
            children=json.loads(children),
        )

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        """One BEGIN IMMEDIATE … COMMIT. Who leaves without a row has written nothing.

        SQLite lets writers wait by asking again and again, ever less often; the threads of one process take turns.
        """
        in_turn = self._turn.acquire(timeout=_PATIENCE)  # without one, the database says whether it is still locked
        try:
            with self._connections.cursor() as cursor:
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
