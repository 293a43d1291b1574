"""What the worker reads from the database for its metrics, in a bounded time."""

import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import text, update
from sqlalchemy.exc import OperationalError

from idp.accounts.models import SchoolNotice
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.data_events import PurgeCompleted
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.metrics import catalogue as metrics
from idp.metrics.instruments import Subject
from idp.metrics.listener import _Server
from idp.oidc.keys import rotation
from idp.oidc.models import SigningKey
from idp.operations.checks import delivery
from idp.operations.checks.finding import Site
from idp.outbox import commands
from idp.outbox.commands import Readings
from idp.outbox.queue import OutboxMessage, enqueue
from idp.outbox.worker import DEAD, Outcome, RelayDownError, Worker
from idp.rostering.models import ImportBatch
from idp.rostering.records import Format
from idp.services import services_of
from tests.builders import Build

Read = dict[tuple[str, ...], float]


def read(app: Flask, subjects: dict[str, Subject] | None = None) -> Read:
    readings = Readings(app, services_of(app).readings if subjects is None else subjects)
    return {(metric.name, *values): number for metric, values, number in readings.samples()}


def test_the_numbers_of_the_database_are_read(app: Flask, build: Build) -> None:
    moment = now()
    build.never_activated()
    with unit_of_work():
        late = enqueue("mail.notice", {})
        late.available_at = moment - timedelta(hours=2)
        enqueue("mail.notice", {}, delay=timedelta(hours=1))
        given_up = enqueue("mail.confirmation", {})
        given_up.outcome, given_up.finished_at = DEAD, moment
        db.session.add(ImportBatch(format="onde", mode="replace", state="done", finished_at=moment))
        db.session.add(
            SchoolNotice(
                school_id=build.school().id,
                account_id=build.active().id,
                kind=Kind.RECTIFICATION,
                created_at=moment - timedelta(days=3),
            )
        )
    assert read(app)[("idp_purge_last_success_timestamp_seconds",)] == 0
    with unit_of_work():
        log.record(PurgeCompleted(removed={}))
    seen = read(app)
    assert seen["idp_outbox_messages_waiting", "mail.notice"] == 2
    assert seen["idp_outbox_oldest_ready_seconds", "mail.notice"] == pytest.approx(7200, abs=60)
    assert seen["idp_outbox_messages_dead", "mail.confirmation"] == 1
    assert seen["idp_roster_imports_recent", "onde", "done"] == 1
    assert set(metrics.FORMAT.known()) == {form.value for form in Format}
    assert seen[("idp_roster_import_last_timestamp_seconds",)] == pytest.approx(moment.timestamp())
    assert seen["idp_signing_key_age_seconds", "RS256"] >= 0
    assert seen[("idp_letters_valid",)] == 1
    assert seen[("idp_letters_expiring",)] == 0
    assert seen["idp_school_notices_open", "rectification"] == 1
    assert seen[("idp_school_notices_oldest_open_seconds",)] == pytest.approx(3 * 86400, abs=60)
    assert seen[("idp_jobs_oldest_open_seconds",)] == 0
    assert seen[("idp_purge_last_success_timestamp_seconds",)] == pytest.approx(moment.timestamp(), abs=60)


def test_the_age_is_that_of_the_key_that_signs(app: Flask, settings: Settings) -> None:
    def begin(alg: str, since: timedelta) -> None:
        with unit_of_work():
            keys = update(SigningKey).where(SigningKey.alg == alg)
            db.session.execute(keys.values(active_from=now() + since))

    begin("RS256", timedelta(days=-90))
    following = rotation.rotate(settings, "RS256", at_once=True)
    with unit_of_work():
        soon = {"active_from": now() + timedelta(minutes=5)}
        db.session.execute(update(SigningKey).where(SigningKey.kid == following.kid).values(soon))
    for alg, minutes in (("EdDSA", 5), ("PS256", 60)):
        rotation.rotate(settings, alg)
        begin(alg, timedelta(minutes=minutes))
    ages = {name[1]: number for name, number in read(app).items() if name[0] == metrics.KEY_AGE.name}
    assert ages["RS256"] == pytest.approx(90 * 86400, abs=60)
    assert ages["EdDSA"] == 0
    assert "PS256" not in ages


def test_mails_that_a_dead_mail_server_holds_for_twenty_minutes_raise_the_alert(app: Flask, settings: Settings) -> None:
    with unit_of_work():
        enqueue("mail.notice", {})

    def refuse(_message: OutboxMessage) -> Outcome:
        raise RelayDownError("no delivery: connection refused")

    worker = Worker({"mail.notice": refuse}, probe=lambda: False)
    with time_machine.travel(now(), tick=False) as clock:
        for _ in range(20):
            worker.run_once()
            clock.shift(timedelta(minutes=1))
        assert read(app)["idp_outbox_oldest_ready_seconds", "mail.notice"] == pytest.approx(1200, abs=1)
        outbox = next(finding for finding in delivery.check_outbox(Site(settings)) if finding.check == "outbox")
    assert (outbox.state, "1 of them wait for the mail server" in outbox.result) == ("fault", True)
    assert "20 minutes" in outbox.result
    assert "IDP_SMTP_URL" in outbox.advice


def imported(state: str, *schools: str, form: str = "onde", hours: int = 0) -> None:
    """Store an import that began some hours ago."""
    started = now() - timedelta(hours=hours)
    with unit_of_work():
        db.session.add(ImportBatch(format=form, mode="replace", state=state, schools=[*schools], started_at=started))


def test_an_import_that_a_later_one_made_good_need_not_be_redone(app: Flask) -> None:
    def to_redo() -> Read:
        return {name[1:]: number for name, number in read(app).items() if name[0] == "idp_roster_imports_to_redo"}

    imported("done", "0590001A", "0590002B", hours=30)
    imported("stopped", "0590001A", hours=20)
    imported("failed", "0590001A", "0590002B", form="csv", hours=19)
    imported("stopped", form="siecle", hours=18)
    imported("stopped", form="", hours=17)
    imported("stopped", "0590001A", hours=9 * 24)
    assert to_redo() == {("onde",): 1, ("csv",): 1, ("siecle",): 1, ("",): 1}
    imported("running", "0590001A", hours=16)
    imported("done", "0590001A", hours=15)
    assert to_redo() == {("csv",): 1, ("siecle",): 1}, "one of its two schools is enough for no import"
    imported("done", "0590002B", hours=14)
    assert to_redo() == {("siecle",): 1}
    imported("done", "0590003C", form="siecle", hours=13)
    assert to_redo() == {}
    imported("stopped", "0590002B", hours=12)
    assert to_redo() == {("onde",): 1}, "what was good before makes nothing good"


def test_a_subject_that_takes_too_long_is_missing_and_the_others_are_read(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_STATEMENT_SECONDS", 0.05)

    def sleep(connection: Any, _settings: object) -> list[Any]:
        connection.execute(text("SELECT pg_sleep(20)"))
        return []

    start = time.monotonic()
    seen = read(app, {"letters": Subject(sleep), "keys": services_of(app).readings["keys"]})
    assert time.monotonic() - start < 5
    assert seen["idp_database_readings_failed", "letters"] == 1
    assert seen["idp_database_readings_failed", "keys"] == 0
    assert ("idp_signing_key_age_seconds", "RS256") in seen


def test_a_lost_database_is_tried_once_and_not_for_each_subject(app: Flask) -> None:
    tried: list[str] = []

    def fail(_connection: Any, _settings: object) -> list[Any]:
        tried.append("once")
        raise OperationalError("SELECT", {}, Exception("gone"))

    seen = read(app, {"outbox": Subject(fail), "keys": Subject(fail)})
    assert tried == ["once"]
    assert {name[1] for name, value in seen.items() if value == 1} == {"outbox", "keys"}


def test_numbers_are_kept_for_a_moment_and_nothing_can_be_written(app: Flask, build: Build) -> None:
    asked: list[float] = []

    def count(connection: Any, _settings: object) -> list[Any]:
        asked.append(1)
        return [(metrics.LETTERS_VALID, (), float(connection.scalar(text("SELECT count(*) FROM account"))))]

    readings = Readings(app, {"letters": Subject(count)})
    first = readings.samples()
    build.active()
    assert readings.samples() == first
    assert len(asked) == 1

    def write(connection: Any, _settings: object) -> list[Any]:
        connection.execute(text("DELETE FROM account"))
        return []

    assert read(app, {"letters": Subject(write)})["idp_database_readings_failed", "letters"] == 1


@pytest.mark.parametrize(("error", "count"), [(BrokenPipeError(), 0), (KeyError("x"), 1)], ids=["gone", "fault"])
def test_a_client_that_went_away_is_no_error(capsys: pytest.CaptureFixture[str], error: Exception, count: int) -> None:
    with _Server(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        try:
            raise error
        except type(error):
            server.handle_error(None, None)
    written = capsys.readouterr().err
    assert written.count("a request for metrics failed") == count
    assert "Traceback" not in written


@pytest.mark.usefixtures("app")
def test_a_worker_that_stands_still_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker({})
    assert worker.fault() == ""
    monkeypatch.setattr(worker, "_looked_at", now() - timedelta(minutes=3))
    assert worker.fault() == "has not looked for messages"
    with unit_of_work():
        message = enqueue("mail.notice", {})
    message.leased_until = now() + timedelta(seconds=9)
    monkeypatch.setattr(worker, "_message", message)
    assert worker.fault() == "", "it is at work"
    message.leased_until = now() - timedelta(seconds=1)
    assert worker.fault() == "a message of the kind mail.notice has outlasted its lease"
