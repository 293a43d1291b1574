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
_KEPT_ENTRIES = """
INSERT INTO audit (at, kind, result, account_id, actor, ip, request_id, details, salt, personal_digest, mac)
SELECT %(from)s + n * (%(until)s::timestamptz - %(from)s) / %(entries)s, 'sign_in', 'ok', id, '', '198.51.100.7',
  '7F3K-92QD', '{"session": "0123456789abcdef"}', '\\x00112233', sha256(n::text::bytea), sha256(n::text::bytea)
FROM generate_series(0, %(entries)s - 1) n JOIN numbered ON number = n %% %(people)s
"""
_KEPT_ACCOUNTS = """
INSERT INTO account (id, username, civility, family_name, given_name, birth_name, roster_key, address_lines,
  postcode, city, country, locale, more_claims, is_from_desk, has_left, generation, password_state, password_hash,
  activated_at, email, mailbox, known_use_at, tries_counted_since, last_sign_in_at, created_at, updated_at, search_text)
SELECT md5('kept' || n)::uuid, 'kept' || n, '', 'LEROY', 'Noémie', '', 'kept:' || n, '[]', '', '', '',
  'fr-FR', '{}', false, false, 1, 'USABLE', CASE WHEN active THEN 'x' END, CASE WHEN active THEN long_ago END,
  CASE WHEN active THEN 'kept' || n || '@exemple.fr' END, CASE WHEN active THEN 'kept' || n || '@exemple.fr' END,
  known, known,
  CASE WHEN active THEN %(today)s::timestamptz END, long_ago, long_ago, to_tsvector('simple', 'leroy noemie')
FROM generate_series(1, %(accounts)s) n CROSS JOIN LATERAL (SELECT n %% 3 > 0 AS active,
  %(today)s - interval '800 days' AS long_ago,
  %(today)s - n %% CASE WHEN n %% 3 > 0 THEN 365 ELSE 90 END * interval '1 day' AS known) a
"""
_KEPT_CHILDREN = """
INSERT INTO child (id, school_id, student_id, family_name, given_name, class_name, search_text)
SELECT md5('kept child' || n)::uuid, school.id, 'kept' || n, 'LEROY', 'Malo', '6e 1', to_tsvector('simple', 'malo')
FROM generate_series(1, %(accounts)s) n, (SELECT id FROM school LIMIT 1) school
"""
_KEPT_TIES = """
INSERT INTO guardianship (account_id, child_id, rank, kinship, authority)
SELECT md5('kept' || n)::uuid, md5('kept child' || n)::uuid, 0, '', 1 FROM generate_series(1, %(accounts)s) n
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
        _number(connection)
        for statement in (_SESSIONS, _CODES, _TOKENS, _ENTRIES, _MESSAGES):
            connection.execute(statement, values)
            connection.execute("ANALYZE session")  # the next statements read it


def kept(url: str, accounts: int, entries: int) -> None:
    """Add rows that no purge of these nights removes, and that must not cost one either.

    The entries of the journal are of the half of the year in which only failures are removed. Two of three accounts
    signed in today, a 365th part of them for the first time since a purge looked a year ago; the others never did, and
    a purge looked at them in the last 90 days.
    """
    moment, day = now(), timedelta(days=1)
    values: Mapping[str, object] = {
        "people": ACCOUNTS,
        "accounts": accounts,
        "entries": entries,
        "today": moment,
        "from": moment - 364 * day,
        "until": moment - 190 * day,
    }
    with psycopg.connect(url) as connection:
        _number(connection)
        for statement in (*((_KEPT_ENTRIES,) if entries else ()), _KEPT_ACCOUNTS, _KEPT_CHILDREN, _KEPT_TIES):
            connection.execute(statement, values)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")


def _number(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Give the accounts that there are numbers, for the statements of this transaction."""
    connection.execute(
        "CREATE TEMPORARY TABLE numbered ON COMMIT DROP AS SELECT id, row_number() OVER () - 1 AS number FROM account"
    )
    connection.execute("ANALYZE numbered")


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
