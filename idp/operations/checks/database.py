"""Checks of the database (version, latency, TLS, connections, migrations, indexes, clock), and of the keys in it."""

import secrets
import shutil
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from idp import database_faults, secret_check
from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings
from idp.db import POOL_OVERFLOW, Base, db, unit_of_work
from idp.http_client.outgoing import Outgoing, OutgoingError, UrlRefusedError
from idp.oidc.keys import material
from idp.oidc.keys.rotation import ROTATION_PERIOD, select_live, signing
from idp.oidc.models import SigningKey
from idp.operations import revisions
from idp.operations.checks.finding import FULL, LITTLE, MIB, Finding, Site, judged
from idp.operations.health import is_read_only
from idp.outbox.queue import enqueue
from idp.pool import ENCODING
from idp.services import services

CLUSTERS = Path("/var/lib/postgresql")
"""Where Debian keeps the data of PostgreSQL."""
_OLDEST = 150_000  # PostgreSQL 15, as server_version_num says it
_SLOW = 0.005  # seconds for the shortest statement: a sign-on has three, so that 20 ms more would be the network
_STATEMENTS = 7
_MAKE_ROOM = "make room, as much as is used"
_DRIFT, _WRONG = timedelta(seconds=2), timedelta(seconds=30)
"""Tokens and proofs are dated, and accepted with a minute of difference."""
_LARGE = 1024 * 1024  # bytes of a table whose statistics matter to its plans
_WRITTEN = 100_000  # bytes of the trial write: more than the free space of a page, so that the file of the table grows


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


_LATE = 24 * ROTATION_PERIOD
_OLD = timedelta(days=400)
_SOON = timedelta(days=21)
_AT_ONCE = 8


def check_secret_key(site: Site) -> Iterator[Finding]:
    """Check that the secret key is the key of the database."""
    value = secret_check.stored(site.settings)
    key = secret_check.recognised(site.settings, value)
    if value is None:
        advice = "run idp db upgrade, which stores the check value"
        yield Finding("secret key", "the database has no check value yet", "warning", advice)
    elif key is None:
        advice = (
            "copy IDP_SECRET_KEY from a node that works, or put the former key into IDP_SECRET_KEY_FALLBACKS or, if it "
            "is lost, idp config accept-secret-key"
        )
        yield Finding("secret key", "not the key of this database", "fault", advice)
    elif key != site.settings.secrets[0]:
        advice = "restart the other nodes with the new key too"
        yield Finding("secret key", "new; the last start was with one of the fallbacks", "ok", advice)
    else:
        yield Finding("secret key", "the key of this database")


def check_signing_keys(site: Site) -> Iterator[Finding]:
    """Check that there is a key for each algorithm that clients need, and that keys are replaced in time."""
    live = list(db.session.scalars(select_live(SigningKey)))
    needed = set(db.session.scalars(select(Client.id_token_alg).where(Client.disabled_at.is_(None)).distinct()))
    for alg in sorted({key.alg for key in live} | needed) or ["RS256"]:
        yield _of_algorithm(site.settings, alg, [key for key in live if key.alg == alg])


def _of_algorithm(settings: Settings, alg: str, keys: list[SigningKey]) -> Finding:
    name, moment = f"signing key {alg}", now()
    key = signing(keys, moment)
    if key is None:
        return Finding(name, "there is none", "fault", f"run idp keys rotate --alg {alg}")
    unreadable = [k.kid for k in keys if material.sealed_by(settings, k.kid, k.private_sealed) is None]
    if unreadable:
        result = f"sealed under a secret key that is not configured: {', '.join(unreadable)}"
        kid = unreadable[0] if len(unreadable) == 1 else "KID"  # each of them, one after the other
        advice = (
            "put the former secret key into IDP_SECRET_KEY_FALLBACKS or, if it is lost, "
            f"idp keys retire {kid} --emergency"
        )
        return Finding(name, result, "fault", advice)
    age, days = moment - key.active_from, settings.key_rotation_days
    following = [k for k in keys if k.active_from > moment]
    due = following[0].active_from if following else key.active_from + timedelta(days=days)
    result = f"signs since {age.days} days"
    if not days and not following:
        return judged(name, f"{result}, replaced by command only", (age > _OLD, "warning", "run idp keys rotate"))
    advice = "the rotation is late: does idp worker run? see idp outbox list"
    return judged(name, f"{result}, next on {due:%Y-%m-%d}", (moment - due > _LATE, "fault", advice))


def check_ents(_site: Site) -> Iterator[Finding]:
    """Check the certificate of each host once, whatever number of ENTs it serves, and the audience of assertions."""
    clients = db.session.execute(
        select(Client.client_id, Client.backchannel_logout_uri, Client.jwks_uri)
        .where(Client.disabled_at.is_(None))
        .order_by(Client.client_id)
    )
    hosts: dict[str, tuple[str, list[str]]] = {}
    for client_id, *urls in clients:
        for url in filter(None, urls):
            hosts.setdefault(urlsplit(url).netloc, (url, []))[1].append(client_id)
    outgoing = services().outgoing
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        yield from threads.map(lambda item: _of_host(outgoing, item[0], *item[1]), sorted(hosts.items()))
    if not hosts:
        yield Finding("certificates of ENTs", "no ENT has a back channel or keys at a URL")
    legacy = select(Client.client_id).where(Client.assertion_audience == "legacy", Client.disabled_at.is_(None))
    for client_id in db.session.scalars(legacy.order_by(Client.client_id)):
        advice = f"when the ENT names the issuer: `idp client set {client_id} --assertion-audience issuer`"
        yield Finding(f"assertions of ENT {client_id}", "the audience may be an endpoint", "warning", advice)


def _of_host(outgoing: Outgoing, host: str, url: str, client_ids: list[str]) -> Finding:
    name = f"certificate of {host}"
    clients = f"ENT {', '.join(sorted(set(client_ids)))}"
    try:
        end = outgoing.certificate_end(url)
    except UrlRefusedError as error:
        return Finding(name, f"{error.reason} ({clients})", "fault", "name the host in IDP_OUTGOING_ALLOW")
    except OutgoingError as error:
        advice = "tell the operator of the ENT; an authority of your own belongs into IDP_CA_BUNDLE"
        return Finding(name, f"{error.reason} ({clients})", "fault", advice)
    if end is None:
        return Finding(name, f"none, http ({clients})")
    if end - now() < _SOON:
        return Finding(name, f"ends on {end:%Y-%m-%d} ({clients})", "warning", "tell the operator of the ENT")
    return Finding(name, f"valid until {end:%Y-%m-%d}")
