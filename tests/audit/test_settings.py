"""The journal records changed settings without secrets; `idp audit export` writes it as JSON lines."""

import json
import os
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from demo.processes import exported
from idp.audit import changes, log
from idp.audit.events import AccountRead
from idp.audit.models import AuditEntry, AuditSeal, NotedSettings
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from tests import forked
from tests.audit.journal import a_day, at, ids, list_findings, seal, verified, write
from tests.builders import Build
from tests.commands.accounts import OPERATOR
from tests.commands.conftest import Events, Run
from tests.commands.processes import PATIENCE, connect, free_port, read_all, running
from tests.commands.remains import purged


def recorded() -> list[tuple[str, dict[str, Any]]]:
    changed = select(AuditEntry.actor, AuditEntry.details).where(AuditEntry.kind == "settings.changed")
    rows = [(actor, details) for actor, details in db.session.execute(changed.order_by(AuditEntry.id))]
    db.session.rollback()
    return rows


@pytest.mark.row("O-08")
def test_changed_settings_are_recorded_once_when_the_worker_starts(
    act: Run, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    for _ in range(2):
        assert act("worker", "--once").code == 0
    monkeypatch.setenv("IDP_METRICS_BIND", f"127.0.0.1:{free_port()}")  # another server has another one
    assert act("worker", "--once").code == 0
    assert recorded() == [], "the first start has nothing to compare, the others find the same"
    monkeypatch.setenv("IDP_AUDIT_DAYS", "400")
    monkeypatch.setenv("IDP_OUTGOING_ALLOW", '["10.1.0.0/16"]')
    monkeypatch.setenv("IDP_SMTP_URL", "smtps://user:hunter2hunter2@mail.test:465")
    for _ in range(2):
        assert act("worker", "--once").code == 0
    [(actor, details)] = recorded()
    assert actor.startswith(f"uid {os.getuid()}")
    assert details["before"]["IDP_AUDIT_DAYS"] == str(settings.audit_days)
    assert details["after"]["IDP_AUDIT_DAYS"] == "400"
    assert details["after"]["IDP_OUTGOING_ALLOW"] == "10.1.0.0/16"
    assert details["before"].keys() == details["after"].keys() <= {*details["after"]}
    monkeypatch.setenv("IDP_AUDIT_DAYS", "365")
    assert act("worker", "--once").code == 0
    assert recorded()[1][1] == {"before": {"IDP_AUDIT_DAYS": "400"}, "after": {"IDP_AUDIT_DAYS": "365"}}
    noted = str(db.session.scalars(select(NotedSettings.settings)).one())
    db.session.rollback()
    for secret in ("hunter2", settings.secret_key.get_secret_value()):
        assert secret not in noted + str(recorded())
    assert list_findings(act) == []


@pytest.mark.row("O-08")
def test_a_changed_secret_is_recorded_without_its_value(
    act: Run, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    start(act, monkeypatch, IDP_SMTP_URL="smtps://user:hunter2hunter2@mail.test:465")
    start(act, monkeypatch, IDP_SMTP_URL="smtps://user:swordfish1234@mail.test:465")
    start(act, monkeypatch)
    assert [details for _, details in recorded()] == [
        {"before": {"IDP_SMTP_URL": "(set)"}, "after": {"IDP_SMTP_URL": "(set) (changed)"}}
    ]
    noted = str(db.session.scalars(select(NotedSettings.settings)).one()) + str(recorded())
    for secret in ("hunter2", "swordfish", settings.secret_key.get_secret_value()):
        assert secret not in noted
    assert list_findings(act) == []


@pytest.mark.row("O-08")
def test_a_rotated_secret_key_is_recorded_and_hides_no_other_change(
    act: Run, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    former, new = settings.secret_key.get_secret_value(), "an0ther secret key, as random as the first: 7Fq2"
    start(act, monkeypatch, IDP_SMTP_URL="smtps://user:hunter2hunter2@mail.test:465")
    start(act, monkeypatch, IDP_SECRET_KEY=new, IDP_SECRET_KEY_FALLBACKS=json.dumps([former]))
    start(act, monkeypatch, IDP_SMTP_URL="smtps://user:swordfish1234@mail.test:465")
    monkeypatch.setenv("IDP_SECRET_KEY", former[::-1])
    monkeypatch.setenv("IDP_SECRET_KEY_FALLBACKS", json.dumps([new[::-1]]))
    assert act("config", "accept-secret-key", "--yes").code == 0
    start(act, monkeypatch)
    unknown = "(perhaps changed: the former secret key is unknown)"
    rotated, other, lost = [details["after"] for _, details in recorded()]
    assert rotated == {"IDP_SECRET_KEY": "(set) (changed)", "IDP_SECRET_KEY_FALLBACKS": "(1 set)"}
    assert other == {"IDP_SMTP_URL": "(set) (changed)"}
    assert lost.pop("IDP_DATABASE_URL").endswith(unknown)
    assert lost == {
        "IDP_SECRET_KEY": "(set) (changed)",
        "IDP_SECRET_KEY_FALLBACKS": f"(1 set) {unknown}",
        "IDP_SMTP_URL": f"(set) {unknown}",
    }


@pytest.mark.row("O-08")
def test_a_changed_password_of_the_database_is_recorded(app: Flask, settings: Settings) -> None:
    for password in ("hunter2", "hunter2", "swordfish"):
        changes.note_settings(settings.model_copy(update={"database_url": f"postgresql://u:{password}@db.test/idp"}))
    [(_, details)] = recorded()
    assert details["after"] == {"IDP_DATABASE_URL": "postgresql://(hidden)@db.test/idp (changed)"}


def start(act: Run, monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    answer = act("worker", "--once")
    assert answer.code == 0, answer.err


@pytest.mark.row("O-08")
def test_changed_settings_are_recorded_when_the_service_starts(act: Run, settings: Settings, tmp_path: Path) -> None:
    assert act("worker", "--once").code == 0
    other, port, log = settings.model_copy(update={"session_idle": 1234}), free_port(), tmp_path / "log"
    with running(other, log, "serve", "--bind", f"127.0.0.1:{port}", "--workers", "2") as process:
        with connect(port, process, log) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert read_all(connection).startswith(b"HTTP/1.1 200 ")
        process.terminate()
        assert process.wait(PATIENCE) == 0
    assert [details["after"]["IDP_SESSION_IDLE"] for _, details in recorded()] == ["1234"]


@pytest.fixture
def nodes(settings: Settings, tmp_path: Path, act: Run) -> Iterator[list[forked.Program]]:
    assert act("worker", "--once").code == 0
    db.session.remove()
    environment = {**os.environ, **exported(settings.model_copy(update={"audit_days": 401}))}
    environment["GO"] = str(tmp_path / "go")
    started = [
        forked.Program("tests.audit.start", str(tmp_path / f"ready {number}"), env=environment) for number in range(4)
    ]
    yield started
    for node in started:
        node.kill()
        node.communicate()


@pytest.mark.row("O-08")
def test_several_nodes_that_start_together_record_one_change(nodes: list[forked.Program], tmp_path: Path) -> None:
    while not all((tmp_path / f"ready {number}").exists() for number in range(4)):
        assert all(node.poll() is None for node in nodes)
    (tmp_path / "go").touch()
    for node in nodes:
        _, output = node.communicate(timeout=60)
        assert node.returncode == 0, output
    assert [details["after"] for _, details in recorded()] == [{"IDP_AUDIT_DAYS": "401"}]


def lines(act: Run, *arguments: str) -> list[dict[str, object]]:
    answer = act("audit", "export", *arguments)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.isascii()
    return [json.loads(line) for line in answer.out.splitlines()]


def test_export_holds_every_entry_and_its_seal(
    act: Run, app: Flask, build: Build, browser: FlaskClient, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idp.operations.audit_commands._PAGE", 2)
    a_day(app, build, browser)
    seal(app)
    write(None, 1)
    keys = ids()
    exported = lines(act)
    entries = [line for line in exported if line["type"] == "entry"]
    assert [line["id"] for line in entries] == keys
    issued = next(line for line in entries if line["kind"] == "code.issued")
    assert (issued["seal"], issued["ip"], entries[-1]["seal"]) == (1, "127.0.0.1", None)
    row = db.session.get_one(AuditEntry, issued["id"])
    assert (issued["mac"], issued["details"]) == (row.mac.hex() if row.mac else "", row.details)
    [last] = [line for line in exported if line["type"] == "seal"]
    stored_seal = db.session.scalars(select(AuditSeal)).one()
    assert (last["id"], last["entries"], last["mac"]) == (1, len(keys) - 1, stored_seal.mac.hex())
    db.session.rollback()
    assert list_findings(act, "--head", f"{last['id']}:{last['mac']}") == []
    [event] = events("journal.exported")
    assert event.actor == OPERATOR


def test_export_since_a_time_holds_later_entries_and_their_seals(act: Run, app: Flask, build: Build) -> None:
    for days in (400, 9, 1):
        with at(now() - timedelta(days=days)):
            write(None, 2)
            seal(app)
    purged(act)
    exported = lines(act, "--since", "3d")
    assert [line["type"] for line in exported] == ["entry", "entry", "entry", "beginning", "seal"]
    assert exported[2]["kind"] == "purge.completed"
    assert exported[-1]["id"] == 3
    assert verified(act)[0] == 0
    assert act("audit", "export", "--since", "yesterday").code == 2


def test_export_and_show_have_the_person_of_the_desk_and_the_school(act: Run, app: Flask, build: Build) -> None:
    staff_id, school = uuid.uuid4(), build.school()
    desk = log.Desk(staff_id, school.id, {"role": "secretary"})
    with log.acting_for(log.Origin(actor=f"desk secretary {staff_id}", desk=desk)), unit_of_work():
        log.record(AccountRead(account_id=build.active().id))
    [entry] = [line for line in lines(act, "--since", "5m") if line.get("kind") == "account.read"]
    assert (entry["staff_id"], entry["school_id"]) == (str(staff_id), str(school.id))
    [row] = json.loads(act("audit", "show", "--kind", "account.read", "--json").out)
    assert (row["staff"], row["school"]) == (str(staff_id), school.uai)
    assert f"for {school.uai}" in act("audit", "show", "--kind", "account.read").out
