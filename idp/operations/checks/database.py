"""Checks of the database: version, latency, TLS, connections, migrations, indexes, clock."""

import secrets
import shutil
import statistics
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from idp import database_faults
from idp.clock import now
from idp.config import Settings
from idp.db import POOL_OVERFLOW, Base, db, unit_of_work
from idp.operations import revisions
from idp.operations.checks.finding import FULL, LITTLE, MIB, Finding, Site, judged
from idp.operations.health import is_read_only
from idp.outbox.queue import enqueue
from idp.pool import ENCODING

CLUSTERS = Path("/var/lib/postgresql")
"""Where Debian keeps the data of PostgreSQL."""
_OLDEST = 150_000  # PostgreSQL 15, as server_version_num says it
_SLOW = 0.005
"""Seconds for the shortest statement: a sign-on has three, so that 20 ms more would be the network."""
_STATEMENTS = 7
_MAKE_ROOM = "make room, as much as is used"
_DRIFT, _WRONG = timedelta(seconds=2), timedelta(seconds=30)
"""Tokens and proofs are dated, and accepted with a minute of difference."""
_LARGE = 1024 * 1024
"""Bytes of a table whose statistics matter to its plans."""
_WRITTEN = 100_000
"""Bytes of the trial write: more than the free space of a page, so that the file of the table grows."""


def check(site: Site) -> Iterator[Finding]:
    """Check the database; the first error ends the check."""
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield _latency(connection)
        yield _version(connection)
        yield _tls(connection)
        yield _disk(connection)
        yield _connections(connection, site)
        yield _clock(connection)
        migrations = _migrations(connection)
        yield migrations
        if migrations.state == "fault":
            return  # the tables are not those that the next checks look at
        yield _indexes(connection)
        yield _statistics(connection)
        yield _writes(connection)


def _latency(connection: Connection) -> Finding:
    connection.exec_driver_sql("SELECT 1")  # the first statement prepares the connection
    times = []
    for _ in range(_STATEMENTS):
        begun = time.perf_counter()
        connection.exec_driver_sql("SELECT 1")
        times.append(time.perf_counter() - begun)
    seconds = statistics.median(times)
    advice = "a sign-on waits for three statements: move the service and the database closer together"
    return judged("database latency", f"answers in {1000 * seconds:.1f} ms", (seconds > _SLOW, "warning", advice))


def _version(connection: Connection) -> Finding:
    number = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    return judged(
        "database version",
        f"PostgreSQL {connection.exec_driver_sql('SHOW server_version').scalar_one()}, {encoding}",
        (number < _OLDEST, "fault", "use PostgreSQL 15 or later"),
        (encoding != ENCODING, "fault", "restore the data into a database with ENCODING 'UTF8'"),
    )


def _tls(connection: Connection) -> Finding:
    ssl, version = connection.exec_driver_sql("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").one()
    return judge_tls(version if ssl else "", connection.exec_driver_sql("SELECT host(inet_server_addr())").scalar_one())


def _disk(connection: Connection) -> Finding:
    """Tell how large the database is, and how much room it has where its server is this machine."""
    size = int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())
    server = connection.exec_driver_sql("SELECT host(inet_server_addr())").scalar_one()
    is_here = (server is None or ip_address(server).is_loopback) and CLUSTERS.is_dir()
    if not is_here:
        advice = "not seen from here: df -h on its server; IdpDisqueDeLaBase watches it with node_exporter there"
        return Finding("database disk", f"{size // MIB} MiB used", "unknown", advice)
    free = shutil.disk_usage(CLUSTERS).free
    return judged(
        "database disk",
        f"{size // MIB} MiB used, {free // MIB} MiB free in {CLUSTERS}",
        (free < FULL, "fault", _MAKE_ROOM),
        (free < max(size, LITTLE), "warning", _MAKE_ROOM),
    )


def judge_tls(version: str, server: str | None) -> Finding:
    """Judge the connection by its version of TLS, if it has one, and the IP of the server, None for a local socket."""
    if version:
        return Finding("database TLS", version)
    if server is None or ip_address(server).is_loopback:
        return Finding("database TLS", "none, and none is needed on one machine")
    return Finding("database TLS", "none", "fault", "add sslmode=verify-full to IDP_DATABASE_URL")


def most_connections(settings: Settings, *, nodes: int, workers: int) -> int:
    """Return how many connections the processes of all nodes open at most: `idp serve`, `idp worker`, the desk."""
    processes = workers + 1 + bool(settings.desk_url)
    return nodes * processes * (2 * settings.database_pool + POOL_OVERFLOW)


def _connections(connection: Connection, site: Site) -> Finding:
    allowed = connection.exec_driver_sql(
        "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
    ).scalar_one()
    needed = most_connections(site.settings, nodes=max(1, len(site.nodes)), workers=site.workers)
    needs = f"at most {needed} needed ({max(1, len(site.nodes))} × {site.workers} workers, and the others)"
    if site.settings.database_pooler:
        result = f"{allowed} allowed for all pools of PgBouncer; of PgBouncer, {needs}"
        advice = f"in its configuration: default_pool_size below {allowed}, max_client_conn of at least {needed}"
        return Finding("database connections", result, "unknown", advice)
    advice = "raise max_connections, or lower IDP_DATABASE_POOL or the number of workers"
    return judged("database connections", f"{allowed} allowed, {needs}", (needed > allowed, "fault", advice))


def _clock(connection: Connection) -> Finding:
    begun = now()
    there: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    middle = begun + (now() - begun) / 2
    drift = abs(there - middle)
    advice = "synchronise both machines by NTP (timedatectl, chronyc tracking)"
    result = f"{drift.total_seconds():.2f} s from the clock of the database"
    return judged("clock", result, (drift > _WRONG, "fault", advice), (drift > _DRIFT, "warning", advice))


def _migrations(connection: Connection) -> Finding:
    revision = ", ".join(MigrationContext.configure(connection).get_current_heads())
    if not revisions.is_enough(revision):
        result = f"at {revision or 'no revision'}, this version needs {revisions.newest()}"
        return Finding("migrations", result, "fault", "run idp db upgrade")
    if revisions.is_newer(revision):
        return Finding("migrations", f"at {revision}, of a newer release (this one: {revisions.newest()})")
    return Finding("migrations", f"at {revision}")


def _indexes(connection: Connection) -> Finding:
    inspector = inspect(connection)
    missing = []
    for name, table in Base.metadata.tables.items():
        present = {index["name"] for index in inspector.get_indexes(name)} if inspector.has_table(name) else set()
        missing += sorted(str(index.name) for index in table.indexes if index.name not in present)
    missing += connection.exec_driver_sql(
        "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1"
    ).scalars()
    if missing:
        advice = "requests scan whole tables: create the index again (REINDEX INDEX), or restore the migration"
        return Finding("indexes", f"missing or invalid: {', '.join(missing)}", "fault", advice)
    return Finding("indexes", "all are there and valid")


def _statistics(connection: Connection) -> Finding:
    """Check that PostgreSQL knows its large tables: its plans depend on that, for instance after a restore."""
    never_analysed = text(
        "SELECT pg_class.relname FROM pg_stat_user_tables JOIN pg_class ON pg_class.oid = relid"
        " WHERE pg_relation_size(relid) >= :bytes"
        " AND greatest(last_analyze, last_autoanalyze) IS NULL AND reltuples < 0 ORDER BY 1"
    )
    unknown = connection.execute(never_analysed, {"bytes": _LARGE}).scalars()
    if names := ", ".join(unknown):
        return Finding("plans", f"never analysed: {names}", "warning", "run ANALYZE in the database")
    return Finding("plans", "the large tables are analysed")


def _writes(connection: Connection) -> Finding:
    """Check that PostgreSQL accepts a write, which is rolled back."""
    name = "database writes"
    if is_read_only(connection):
        if connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar_one():
            advice = "name the primary in IDP_DATABASE_URL; a standby or a restored database: SELECT pg_promote()"
            return Finding(name, "refused: the server is in recovery", "fault", advice)
        advice = "see default_transaction_read_only in postgresql.conf, of the database and of the user"
        return Finding(name, "refused: the session is read-only", "fault", advice)
    try:
        _write_in_vain()
    except _InVainError:
        return Finding(name, "accepted")
    except SQLAlchemyError as error:
        advice = database_faults.cause(error).removesuffix(".")
        return Finding(name, f"refused ({type(error).__name__})", "fault", advice)
    raise AssertionError("the trial write raises")


class _InVainError(Exception):
    """Rolls the trial write back."""


@unit_of_work()
def _write_in_vain() -> None:
    enqueue("doctor", {"random": secrets.token_urlsafe(_WRITTEN)})
    db.session.flush()
    raise _InVainError
