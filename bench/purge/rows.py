"""The rows that a night of sign-ins leaves in the tables that grow, as many as an académie's parents would write.

They are a millisecond apart, as on a busy evening: rows of the same instant would be sorted anew for each batch.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg

from bench.population import ACCOUNTS
from idp.clock import now

if TYPE_CHECKING:
    from collections.abc import Mapping

_SESSIONS = """
INSERT INTO session (id, digest, sid, account_id, generation, auth_time, amr, acr, created_at, last_seen_at, expires_at,
  ip, user_agent)
SELECT md5(%(night)s || n)::uuid, sha256((%(night)s || n)::bytea), left(md5(%(night)s || n), 32), id, 1, at,
  '["pwd"]', 'pwd', at, at, at, '198.51.100.7', repeat('Mozilla ', 15) || %(night)s
FROM generate_series(0, %(times)s - 1) n JOIN numbered ON number = n %% %(people)s
CROSS JOIN LATERAL (SELECT %(over)s - n * interval '1 ms' AS at) a
"""
_CODES = """
INSERT INTO authorization_code (digest, family, client_id, account_id, session_id, redirect_uri, scope, nonce,
  code_challenge, acr, auth_time, expires_at, used_at)
SELECT sha256((%(night)s || 'c' || n)::bytea), md5(%(night)s || 'f' || n)::uuid, md5('client')::uuid, account_id, id,
  'https://ent.exemple.fr/callback', 'openid profile email ent', md5(n::text), left(repeat(md5(n::text), 2), 43), acr,
  auth_time, expires_at, expires_at
FROM (SELECT row_number() OVER () AS n, * FROM session WHERE user_agent LIKE '%% ' || %(night)s) s
"""
_TOKENS = """
INSERT INTO token (digest, kind, family, client_id, account_id, session_id, scope, acr, auth_time, expires_at)
SELECT sha256((%(night)s || kind || n)::bytea), kind, md5(%(night)s || 'f' || n)::uuid, md5('client')::uuid, account_id,
  id, 'openid profile email ent', acr, auth_time, expires_at
FROM (SELECT row_number() OVER () AS n, * FROM session WHERE user_agent LIKE '%% ' || %(night)s) s,
  (VALUES ('a'), ('r')) k (kind)
"""
_ENTRIES = """
INSERT INTO audit (at, kind, result, account_id, actor, ip, request_id, details, salt, personal_digest, mac)
SELECT %(entered)s + n * interval '1 ms', CASE n %% 4 WHEN 0 THEN 'sign_in' WHEN 1 THEN 'code.issued'
  WHEN 2 THEN 'token.issued' ELSE 'session.ended' END, CASE WHEN n %% 20 = 0 THEN 'refused' ELSE 'ok' END, id, '',
  '198.51.100.7', '7F3K-92QD', '{"session": "0123456789abcdef"}', '\\x00112233', sha256(n::text::bytea),
  sha256(n::text::bytea)
FROM generate_series(0, 4 * %(times)s - 1) n JOIN numbered ON number = n %% %(people)s
"""
_MESSAGES = """
INSERT INTO outbox (id, kind, payload, created_at, available_at, attempts, finished_at, outcome, last_error)
SELECT md5(%(night)s || 'm' || n)::uuid, 'account.notice', '{"account": "0123456789abcdef"}', at, at, 1, at, 'sent', ''
FROM generate_series(0, %(times)s / 5 - 1) n CROSS JOIN LATERAL (SELECT %(sent)s - n * interval '1 ms' AS at) a
"""
TABLES = ("session", "authorization_code", "token", "audit", "outbox")


@dataclass(frozen=True)
class Size:
    """Bytes of the growing tables with their indexes, and the rows that are deleted but not yet vacuumed."""

    bytes: int
    dead: int


def night(url: str, name: str, sign_ins: int, *, is_over: bool) -> None:
    """Add the rows of `sign_ins` sign-ins: of yesterday, or so old that the next purge removes them.

    Each has a session, a code with two tokens, four events of the journal, and every fifth a mail.
    """
    day = timedelta(days=1)
    moment = now()
    values: Mapping[str, object] = {
        "night": name,
        "times": sign_ins,
        "people": ACCOUNTS,
        "over": moment - 8 * day if is_over else moment + day,
        "entered": moment - (367 * day if is_over else day),
        "sent": moment - (31 * day if is_over else day),
    }
    with psycopg.connect(url) as connection:
        connection.execute(
            "CREATE TEMPORARY TABLE numbered ON COMMIT DROP AS"
            " SELECT id, row_number() OVER () - 1 AS number FROM account"
        )
        connection.execute("ANALYZE numbered")
        for statement in (_SESSIONS, _CODES, _TOKENS, _ENTRIES, _MESSAGES):
            connection.execute(statement, values)
            connection.execute("ANALYZE session")  # the next statements read it


def vacuum(url: str) -> None:
    """Do what autovacuum does within minutes."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table in TABLES:
            connection.execute(f"VACUUM (ANALYZE) {table}".encode())


def size(url: str) -> Size:
    """Return the size of the growing tables."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT sum(pg_total_relation_size(relid)), sum(n_dead_tup) FROM pg_stat_user_tables"
            " WHERE relname = ANY(%s)",
            [list(TABLES)],
        ).fetchone()
    return Size(int(row[0]), int(row[1])) if row else Size(0, 0)
