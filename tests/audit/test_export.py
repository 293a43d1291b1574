"""`idp audit export`: the journal and its seals as JSON lines."""

import json
import uuid
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.audit import log
from idp.audit.events import AccountRead
from idp.audit.models import AuditEntry, AuditSeal
from idp.clock import now
from idp.db import db, unit_of_work
from tests.audit.journal import a_day, at, ids, list_findings, seal, verified, write
from tests.builders import Build
from tests.commands.accounts import OPERATOR
from tests.commands.conftest import Events, Run
from tests.commands.remains import purged


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


def test_export_of_an_empty_journal_is_empty(act: Run) -> None:
    assert act("audit", "export").out == ""


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
