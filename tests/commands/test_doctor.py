"""`idp doctor` finds each fault on this machine and in the database, and says what to do."""

import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import psycopg
import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, func, select, text, update

from demo.processes import exported
from idp import secret_check
from idp.audit import log
from idp.audit.data_events import PurgeCompleted
from idp.audit.models import NotedSettings
from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.oidc.models import SigningKey
from idp.operations.checks import database, delivery, machine, settings as settings_check
from idp.operations.checks.finding import Check, Finding, Site
from idp.operations.revisions import newest
from idp.outbox import leases
from idp.outbox.queue import OutboxMessage
from idp.paths import CHECKOUT
from idp.services import services
from tests.builders import Build
from tests.commands.conftest import Run
from tests.commands.test_key_rotation import read_only
from tests.databases import ISSUER, NOWHERE, settings_for
from tests.rows import each_row

Patch = pytest.MonkeyPatch


def states(check: Check, settings: Settings, **more: object) -> dict[str, str]:
    findings = list(check(Site(settings, **more)))  # type: ignore[arg-type]
    for finding in findings:
        assert finding.advice or finding.state == "ok", finding
    db.session.remove()
    return {finding.check: finding.state for finding in findings}


@pytest.fixture
def altered() -> Iterator[Callable[..., None]]:
    """Run statements on the database; the second one of each pair undoes the first at the end."""
    undo: list[str] = []

    def run(statement: str, inverse: str) -> None:
        undo.append(inverse)
        _execute(statement)

    yield run
    for statement in reversed(undo):
        _execute(statement)


def _execute(statement: str) -> None:
    with db.engine.begin() as connection:
        connection.execute(text(statement))


def test_a_healthy_database_has_no_fault(app: Flask, settings: Settings, tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(database, "CLUSTERS", tmp_path)  # not every machine has Debian's PostgreSQL
    assert set(states(database.check, settings).values()) == {"ok"}


def test_a_slow_old_small_or_latin_database_is_named(app: Flask, settings: Settings, monkeypatch: Patch) -> None:
    monkeypatch.setattr(database, "_SLOW", 0)
    monkeypatch.setattr(database, "ENCODING", "LATIN9")
    many = {"nodes": ("http://10.0.0.1:8000",) * 1000, "workers": 64}
    findings = states(database.check, settings, **many)
    assert findings["database latency"] == "warning"
    assert (findings["database version"], findings["database connections"]) == ("fault", "fault")
    monkeypatch.undo()
    monkeypatch.setattr(database, "_OLDEST", 990_000)
    with_pooler = settings.model_copy(update={"database_pooler": True})
    findings = states(database.check, with_pooler, **many)
    assert findings["database version"] == "fault"
    assert findings["database connections"] == "unknown", "PgBouncer's pool counts, which is not seen from here"


@each_row(
    ("seconds", "state"), [(0, "ok"), (1, "ok"), (10, "warning"), (-10, "warning"), (60, "fault"), (-60, "fault")]
)
def test_a_clock_that_differs_from_that_of_the_database_is_named(
    app: Flask, settings: Settings, monkeypatch: Patch, seconds: int, state: str
) -> None:
    monkeypatch.setattr(database, "now", lambda: now() + timedelta(seconds=seconds))
    assert states(database.check, settings)["clock"] == state


def test_the_sizing_guide_counts_connections_as_the_doctor_does(settings: Settings) -> None:
    guide = (CHECKOUT / "docs/dimensionnement.md").read_text()
    [servers] = re.findall(r"^\| serveurs × cœurs \|(.+)\|$", guide, re.MULTILINE)
    [promised] = re.findall(r"^\| connexions à PostgreSQL, avec le bureau \|(.+)\|$", guide, re.MULTILINE)
    with_desk = settings.model_copy(
        update={
            "desk_url": "https://bureau.exemple.fr",
            "database_pool": Settings.model_fields["database_pool"].default,
        }
    )
    sizes = [tuple(map(int, size.split("×"))) for size in servers.split("|")]
    needed = [database.most_connections(with_desk, nodes=nodes, workers=cores) for nodes, cores in sizes]
    assert list(map(int, promised.split("|"))) == needed


def test_the_sizing_guide_counts_with_the_transactions_that_it_measured() -> None:
    guide = (CHECKOUT / "docs/dimensionnement.md").read_text().replace(",", ".")
    [measured] = re.findall(r"^\| Transactions de PostgreSQL par visiteur .+\| ([\d.]+) \|$", guide, re.MULTILINE)
    [(visitors, used)] = re.findall(r"× ([\d.]+) visiteur × ([\d.]+) transactions", guide)
    [peaks] = re.findall(r"^\| connexions par seconde au pire \|(.+)\|$", guide, re.MULTILINE)
    [promised] = re.findall(r"^\| transactions par seconde \|(.+)\|$", guide, re.MULTILINE)
    needed = [float(peak) * float(visitors) * float(measured) for peak in peaks.split("|")]
    assert used == measured
    assert list(map(float, promised.split("|"))) == [pytest.approx(number, rel=0.01, abs=0.5) for number in needed]


@each_row(
    ("version", "server", "state"),
    [("TLSv1.3", "10.0.0.1", "ok"), ("", None, "ok"), ("", "127.0.0.1", "ok"), ("", "10.0.0.1", "fault")],
)
def test_a_connection_to_another_machine_without_tls_is_a_fault(version: str, server: str | None, state: str) -> None:
    assert database.judge_tls(version, server).state == state


def test_missing_migrations_and_indexes_are_named(app: Flask, settings: Settings, altered: Callable[..., None]) -> None:
    altered("DROP INDEX ix_token_session_id", "CREATE INDEX ix_token_session_id ON token (session_id)")
    assert states(database.check, settings)["indexes"] == "fault"
    altered("ALTER TABLE alembic_version RENAME TO kept", "ALTER TABLE kept RENAME TO alembic_version")
    findings = states(database.check, settings)
    assert (findings["migrations"], "indexes" in findings) == ("fault", False), "the missing tables have no indexes"


def test_a_database_that_accepts_no_write_is_named(
    app: Flask, browser: FlaskClient, settings: Settings, altered: Callable[..., None], database_url: str
) -> None:
    assert states(database.check, settings)["database writes"] == "ok"
    assert db.session.scalar(select(func.count()).select_from(OutboxMessage)) == 0, "the trial write is rolled back"
    db.session.remove()
    with read_only(database_url):
        assert browser.get("/readyz", base_url=ISSUER).get_json() == {"status": "database read-only"}
        assert states(database.check, settings)["database writes"] == "fault"
    fails = "BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full'; END"
    altered(f"CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $${fails}$$", "DROP FUNCTION fail")
    altered("CREATE TRIGGER fail BEFORE INSERT ON outbox EXECUTE FUNCTION fail()", "DROP TRIGGER fail ON outbox")
    [finding] = [each for each in database.check(Site(settings)) if each.check == "database writes"]
    assert (finding.state, finding.advice) == ("fault", "its disk is full")


def test_tables_of_a_newer_release_are_a_remark(app: Flask, settings: Settings, altered: Callable[..., None]) -> None:
    altered("ALTER TABLE alembic_version RENAME TO kept", "ALTER TABLE kept RENAME TO alembic_version")
    altered("CREATE TABLE alembic_version AS SELECT '9999' AS version_num", "DROP TABLE alembic_version")
    [finding] = [each for each in database.check(Site(settings)) if each.check == "migrations"]
    assert (finding.state, finding.advice) == ("ok", "")
    assert finding.result == f"at 9999, of a newer release (this one: {newest()})"


def test_a_table_without_statistics_is_named(
    app: Flask, settings: Settings, altered: Callable[..., None], monkeypatch: Patch
) -> None:
    monkeypatch.setattr(database, "_LARGE", 0)
    altered("CREATE TABLE restored (id int) WITH (autovacuum_enabled = false)", "DROP TABLE restored")
    assert states(database.check, settings)["plans"] == "warning"


def test_settings_that_must_not_serve_families_are_named(app: Flask, settings: Settings) -> None:
    assert states(settings_check.check, settings) == {"settings": "ok"}
    assert states(settings_check.check, settings.model_copy(update={"legal_publisher": ""})) == {"settings": "fault"}


def test_another_secret_key_is_named(app: Flask, settings: Settings) -> None:
    def noted(**digests: str) -> None:
        with unit_of_work():
            db.session.execute(delete(NotedSettings))
            db.session.add(NotedSettings(id=1, settings={"digests": digests}))

    former = b"a former secret key, of 32 bytes or more"
    noted()
    assert states(database.check_secret_key, settings) == {"secret key": "warning"}
    noted(**{secret_check.KEY: secret_check.check_value(former)})
    assert states(database.check_secret_key, settings) == {"secret key": "fault"}
    [lost] = database.check_secret_key(Site(settings))
    assert lost.advice.endswith(" or, if it is lost, idp config accept-secret-key")
    rotated = settings_for(settings.database_url, secret_key_fallbacks=[former.decode()])
    assert states(database.check_secret_key, rotated) == {"secret key": "ok"}
    noted(**{secret_check.KEY: secret_check.check_value(settings.secrets[0])})
    assert states(database.check_secret_key, settings) == {"secret key": "ok"}


def test_missing_late_and_unreadable_signing_keys_are_named(app: Flask, settings: Settings, build: Build) -> None:
    key, of_ent = "signing key RS256", "signing key ES256"

    def store(table: type[Client | SigningKey], **values: object) -> None:
        with unit_of_work():
            db.session.execute(update(table).values(**values))

    assert states(database.check_signing_keys, settings) == {key: "ok"}
    build.ent()
    store(Client, id_token_alg="ES256")
    assert states(database.check_signing_keys, settings) == {key: "ok", of_ent: "fault"}
    other = settings_for(settings.database_url, secret_key="another secret key, of 32 bytes or more: 9876543210")
    lost = next(finding for finding in database.check_signing_keys(Site(other)) if finding.check == key)
    kid = lost.result.rpartition(" ")[2]
    assert lost.state == "fault"
    assert lost.advice.endswith(f"_FALLBACKS or, if it is lost, idp keys retire {kid} --emergency")
    store(SigningKey, active_from=now() - timedelta(days=500))
    assert states(database.check_signing_keys, settings)[key] == "fault"
    by_command = settings.model_copy(update={"key_rotation_days": 0})
    assert states(database.check_signing_keys, by_command)[key] == "warning"
    store(SigningKey, retired_at=now())
    assert states(database.check_signing_keys, settings)[of_ent] == "fault"


def test_messages_that_wait_and_a_worker_that_does_not_run_are_named(app: Flask, settings: Settings) -> None:
    kind, period = min(services().periodic_jobs.items(), key=lambda job: job[1])

    def store(age: timedelta, **more: object) -> None:
        with unit_of_work():
            moment = now() - age
            db.session.add(OutboxMessage(payload={}, available_at=moment, created_at=moment, **more))

    assert states(delivery.check_outbox, settings) == {"outbox": "ok", "worker": "warning"}
    store(timedelta(), kind=kind, finished_at=now(), outcome="done")
    store(timedelta(minutes=1), kind="any")
    store(timedelta(hours=1), kind="any", lease=uuid.uuid4(), leased_until=now() + timedelta(minutes=5))
    store(timedelta(hours=1), kind="any", finished_at=now(), outcome="dead")
    assert states(delivery.check_outbox, settings) == {"outbox": "ok", "dead messages": "warning", "worker": "ok"}
    store(timedelta(hours=1), kind="any")
    with unit_of_work():
        db.session.execute(
            update(OutboxMessage).where(OutboxMessage.kind == kind).values(finished_at=now() - 9 * period)
        )
    assert states(delivery.check_outbox, settings) == {"outbox": "fault", "dead messages": "warning", "worker": "fault"}


def test_a_leased_message_does_not_wait_whatever_the_clock_of_this_machine(app: Flask, settings: Settings) -> None:
    with unit_of_work():
        db.session.add(OutboxMessage(kind="any", payload={}, available_at=now() - timedelta(hours=1)))
    with time_machine.travel(now() + timedelta(seconds=40)):
        assert leases.claim(["any"]) is not None
        assert states(delivery.check_outbox, settings)["outbox"] == "ok"


def test_a_purge_that_is_not_completed_is_named(app: Flask, settings: Settings) -> None:
    assert states(delivery.check_purge, settings) == {"purge": "warning"}
    for age, state in ((timedelta(days=3), "fault"), (timedelta(hours=30), "ok")):
        with time_machine.travel(now() - age), unit_of_work():
            log.record(PurgeCompleted(removed={}))
        assert states(delivery.check_purge, settings) == {"purge": state}


@each_row(("free", "state"), [(10**12, "ok"), (10**9, "warning"), (10**6, "fault")])
def test_a_full_disk_is_named(app: Flask, settings: Settings, monkeypatch: Patch, free: int, state: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    assert states(machine.check_disks, settings)["disk of temporary files"] == state


@each_row(("mode", "state"), [(0o600, "ok"), (0o640, "ok"), (0o660, "fault"), (0o644, "fault"), (0o604, "fault")])
def test_files_with_secrets_that_others_read_are_named(tmp_path: Path, mode: int, state: str) -> None:
    (secret := tmp_path / "environment").touch()
    secret.chmod(mode)
    settings = settings_for(NOWHERE)
    for path, expected in ((str(secret), state), ("/nowhere", "fault")):
        [finding] = machine.check_modes(Site(settings, secret_files=(path,)))
        assert finding.state == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try what another user reads")
def test_files_that_the_user_of_the_service_cannot_read_are_named(monkeypatch: Patch) -> None:
    with TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        root, theme = folder / "base.crt", folder / "theme"
        theme.mkdir()
        (theme / "theme.css").touch()
        root.touch()
        url = f"postgresql+psycopg://idp@db.exemple.fr/idp?sslmode=verify-full&sslrootcert={root}"
        settings = settings_for(url).model_copy(update={"theme": theme})
        monkeypatch.delenv("IDP_CONFIG", raising=False)

        def results(user: str = "nobody") -> list[tuple[str, str]]:
            return [(finding.state, finding.result) for finding in machine.check_readable(Site(settings), user)]

        assert results() == [("ok", "the user nobody can read the files that the settings name")]
        (theme / "theme.css").chmod(0o600)
        assert results() == [("fault", f"{theme / 'theme.css'} (IDP_THEME): the user nobody cannot read it")]
        (theme / "theme.css").chmod(0o644)
        root.chmod(0o600)
        assert results() == [("fault", f"{root} (sslrootcert in IDP_DATABASE_URL): the user nobody cannot read it")]
        root.unlink()
        assert results() == [("fault", f"{root} (sslrootcert in IDP_DATABASE_URL): it does not exist")]
        assert results("no-such-user") == [], "the service has another user, as in a container"
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        assert results() == [], "only root can try it"


@each_row(("tag", "state"), [("linux_x86_64", "ok"), ("manylinux_2_26_x86_64", "warning")])
def test_argon2_for_any_cpu_is_named(app: Flask, settings: Settings, monkeypatch: Patch, tag: str, state: str) -> None:
    monkeypatch.setattr(machine, "distribution", lambda _: SimpleNamespace(read_text=lambda _: f"Tag: cp39-abi3-{tag}"))
    assert states(machine.check_hash_rate, settings) == {"password hashes": state}


def test_the_command_shows_each_finding_and_exits_with_1_on_a_fault(
    act: Run, monkeypatch: Patch, tmp_path: Path
) -> None:
    secret = tmp_path / "environment"
    secret.write_text("IDP_LOG_LEVEL=INFO\n")
    secret.chmod(0o644)
    checks: dict[str, Check] = {
        "one": lambda _: [Finding("one", "fine"), Finding("two", "late \x1b", "warning", "wait")],
    }
    monkeypatch.setattr("idp.operations.checks.commands._CHECKS", checks)
    answer = act("doctor")
    assert (answer.code, answer.out) == (0, "ok       one: fine\nwarning  two: late \\x1b\n         → wait\n")
    checks["three"] = machine.check_modes
    answer = act("--env-file", str(secret), "doctor", "--json")
    three = json.loads(answer.out)[2]
    assert (answer.code, three["state"], f"chmod o=,g-w {secret}" in three["advice"]) == (1, "fault", True)


def test_a_database_that_does_not_answer_is_a_fault_and_stops_no_other_check(bare: Run, monkeypatch: Patch) -> None:
    for name, value in exported(
        settings_for("postgresql://idp@127.0.0.1:1/idp", smtp_url="smtp://127.0.0.1:1")
    ).items():
        monkeypatch.setenv(name, value)
    answer = bare("doctor", "--json")
    findings = {finding["check"]: finding["state"] for finding in json.loads(answer.out)}
    assert {name for name, state in findings.items() if state == "fault"} >= {"database", "mail server"}
    for name in ("secret key", "signing keys", "outbox", "certificates of ENTs", "public URL"):
        assert findings[name] == "unknown", "one cause is one fault"


def test_hosts_that_accept_no_writes_are_tried_once(bare: Run, monkeypatch: Patch) -> None:
    tried: list[str] = []

    def refuse(**options: object) -> None:
        tried.append(str(options["host"]))
        raise psycopg.OperationalError(
            "Multiple connection attempts failed. All failures were:\n- host: 'db1': Connection refused\n"
            "- host: 'db2': session is read-only"
        )

    monkeypatch.setattr("idp.pool.PatientConnection.connect", refuse)
    two = "postgresql://idp@db1:5432,db2:5432/idp?target_session_attrs=read-write&sslmode=verify-full"
    for name, value in exported(settings_for(two, smtp_url="smtp://127.0.0.1:1")).items():
        monkeypatch.setenv(name, value)
    findings = {finding["check"]: finding for finding in json.loads(bare("doctor", "--json").out)}
    assert findings["database"]["advice"] == "no host accepts writes: promote the standby (docs/fiabilite.md)"
    assert findings["outbox"]["state"] == "unknown"
    assert tried == ["db1,db2"]
