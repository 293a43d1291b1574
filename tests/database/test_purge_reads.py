"""A night's purge reads what it removes: counted by PostgreSQL, with ten thousand rows of each kind that stay."""

import json
from collections import Counter

import psycopg
from sqlalchemy import create_engine, make_url

from idp.config import Settings
from tests import forked
from tests.commands.processes import environment
from tests.database.crowd import GROWING, PEOPLE, crowd
from tests.waiting import wait_for

_MOST = PEOPLE // 20
_AGED = """
UPDATE account SET created_at = now() - interval '500 days', known_use_at = now() - interval '500 days',
  provisional_hash = 'x', provisional_expires_at = now() + interval '9 days';
UPDATE account SET activated_at = now() - interval '500 days', last_sign_in_at = now() - interval '9 days',
  provisional_hash = NULL, provisional_expires_at = NULL WHERE right(username, 1) IN ('1', '2', '3', '4', '5');
UPDATE audit SET at = now() - interval '300 days';
UPDATE import_batch SET started_at = now() - interval '300 days';
UPDATE school_notice SET settled_at = now() - interval '300 days'
"""
"""What stays, older than each age at which the purge looks: only the last sign-in, a child or the result keeps it."""


def test_a_purge_of_nothing_reads_next_to_nothing(settings: Settings, database_url: str) -> None:
    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        crowd(connection)
    engine.dispose()
    with psycopg.connect(database_url, autocommit=True) as connection:
        for statement in _AGED.split(";"):
            connection.execute(statement.encode())
        connection.execute("VACUUM ANALYZE")
        assert _removed(settings) == {}, "it looks at each account once"
        connection.execute("VACUUM ANALYZE")
        before = _reads(connection)
        assert _removed(settings) == {}
        reads = _reads(connection) - before
    assert before["account"] > PEOPLE
    assert {table: number for table, number in reads.items() if number > _MOST} == {}


def _removed(settings: Settings) -> dict[str, int]:
    """Run the command as another process, whose end has the server count what it read; return what it removed."""
    process = forked.Program(forked.IDP, "purge", "--json", env=environment(settings))
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return {name: number for name, number in json.loads(out).items() if number}


def _reads(connection: psycopg.Connection[tuple[object, ...]]) -> Counter[str]:
    """Return how many rows and index entries of each growing table the server has read, when the commands have left."""
    others = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
        " AND backend_start > (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())"
    )
    wait_for(lambda: not connection.execute(others).fetchone())
    rows = connection.execute(
        "SELECT relname, seq_tup_read + coalesce((SELECT sum(idx_tup_read) FROM pg_stat_user_indexes i"
        " WHERE i.relid = t.relid), 0) FROM pg_stat_user_tables t WHERE relname = ANY(%s)",
        [[model.__tablename__ for model in GROWING]],
    ).fetchall()
    return Counter({str(table): int(str(number)) for table, number in rows})
