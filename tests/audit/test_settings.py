"""The journal records changed settings between two starts of the service, without secrets."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from demo.processes import exported
from idp.audit import changes
from idp.audit.models import AuditEntry, NotedSettings
from idp.config import Settings
from idp.db import db
from tests import forked
from tests.audit.journal import list_findings
from tests.commands.conftest import Run
from tests.commands.processes import PATIENCE, connect, free_port, read_all, running

pytestmark = pytest.mark.row("O-08")


def recorded() -> list[tuple[str, dict[str, Any]]]:
    changed = select(AuditEntry.actor, AuditEntry.details).where(AuditEntry.kind == "settings.changed")
    rows = [(actor, details) for actor, details in db.session.execute(changed.order_by(AuditEntry.id))]
    db.session.rollback()
    return rows


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


def test_several_nodes_that_start_together_record_one_change(nodes: list[forked.Program], tmp_path: Path) -> None:
    while not all((tmp_path / f"ready {number}").exists() for number in range(4)):
        assert all(node.poll() is None for node in nodes)
    (tmp_path / "go").touch()
    for node in nodes:
        _, output = node.communicate(timeout=60)
        assert node.returncode == 0, output
    assert [details["after"] for _, details in recorded()] == [{"IDP_AUDIT_DAYS": "401"}]
