"""What people do is counted once it is committed; the worker reads the rest from the database in a bounded time."""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text, update
from sqlalchemy.exc import OperationalError
from werkzeug.test import EnvironBuilder

from idp.accounts.models import SchoolNotice
from idp.accounts.notices import NOTICE
from idp.accounts.passwords.hasher import Hasher, HasherBusyError
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.credential_events import (
    DeviceSessionChanged,
    DeviceSessionReused,
    EmailConfirmed,
    PasskeyRefused,
    PasswordReset,
    ResetRequested,
)
from idp.audit.data_events import PurgeCompleted
from idp.audit.desk_events import JobFinished
from idp.audit.events import ActivationCompleted
from idp.audit.kinds import Event
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
from idp.outbox.worker import (
    DEAD,
    Outcome,
    PermanentDeliveryError,
    PostponedError,
    RelayDownError,
    TemporaryDeliveryError,
    UncertainDeliveryError,
    Worker,
)
from idp.rostering.models import ImportBatch
from idp.rostering.records import Format
from idp.services import services_of
from idp.serving.bridge import door_of
from idp.web.http import Request
from tests.builders import PASSWORD, Build
from tests.metrics.scraping import Numbers
from tests.pages import sign_in
from tests.protocol.flow import code_for, tokens_for
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row

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
    expected = {
        ("idp_outbox_messages_waiting", "mail.notice"): 2,
        ("idp_outbox_oldest_ready_seconds", "mail.notice"): pytest.approx(7200, abs=60),
        ("idp_outbox_messages_dead", "mail.confirmation"): 1,
        ("idp_roster_imports_recent", "onde", "done"): 1,
        ("idp_roster_import_last_timestamp_seconds",): pytest.approx(moment.timestamp()),
        ("idp_letters_valid",): 1,
        ("idp_letters_expiring",): 0,
        ("idp_school_notices_open", "rectification"): 1,
        ("idp_school_notices_oldest_open_seconds",): pytest.approx(3 * 86400, abs=60),
    }
    assert {series: seen[series] for series in expected} == expected
    assert seen["idp_signing_key_age_seconds", "RS256"] >= 0
    assert set(metrics.FORMAT.known()) == {form.value for form in Format}
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


Counted = Callable[[], Numbers]

SIGN_IN, TOKEN, STEP, RECOVERY = (
    "idp_sign_ins_total",
    "idp_token_requests_total",
    "idp_activation_steps_total",
    "idp_recovery_steps_total",
)


def test_sign_ins_and_token_requests_are_counted_by_result(
    browser: FlaskClient, build: Build, ent: RelyingParty, counted: Counted
) -> None:
    parent = build.active()
    for password in (f"{PASSWORD}x", PASSWORD):
        sign_in(browser, "/mon-compte", parent.username, password)
    tokens_for(browser, ent)
    attempt = Attempt()
    code = code_for(browser, ent, attempt)
    assert [ent.exchange(browser, code, attempt).status_code for _ in range(2)] == [200, 400]
    seen = counted()
    expected = {
        (SIGN_IN, "method=password", "result=ok"): 1,
        (SIGN_IN, "method=password", "result=wrong"): 1,
        (TOKEN, "error=none", "grant=authorization_code"): 2,
        (TOKEN, "error=invalid_grant", "grant=authorization_code"): 1,
        ("idp_journal_events_total", "kind=code.issued", "result=ok"): 2,
        ("idp_http_requests_total", "endpoint=oidc.token", "status=2xx"): 2,
        ("idp_http_request_duration_seconds_count", "endpoint=oidc.token"): 3,
        ("idp_database_connections_in_use", "pool=sessions"): 0,
        ("idp_database_connections_in_use", "pool=statements"): 0,
    }
    assert expected.items() <= seen.items()
    assert seen["idp_database_connections_limit", "pool=statements"] > 0


def test_throttled_sign_ins_are_counted_each_time(browser: FlaskClient, build: Build, counted: Counted) -> None:
    parent = build.active()
    for _ in range(8):
        sign_in(browser, "/mon-compte", parent.username, "faux")
    seen = counted()
    results = [seen[SIGN_IN, "method=password", f"result={result}"] for result in ("wrong", "throttled")]
    assert [*results, seen["idp_rate_limit_refusals_total", "limit=sign_in_account"]] == [5, 3, 3]


@pytest.mark.parametrize(
    ("event", "series"),
    [
        (ActivationCompleted(mail_domain="orange.fr"), (STEP, "step=completed")),
        (EmailConfirmed(mail_domain="orange.fr"), (STEP, "step=confirmed")),
        (ResetRequested(answer="link"), (RECOVERY, "step=link")),
        (PasswordReset(), (RECOVERY, "step=password_chosen")),
        (PasskeyRefused(reason="cloned"), (SIGN_IN, "method=passkey", "result=cloned")),
        (DeviceSessionChanged(change="used", by="person", sid="s"), (SIGN_IN, "method=device", "result=ok")),
        (DeviceSessionReused(sid="s"), (SIGN_IN, "method=device", "result=reused")),
        (
            JobFinished(job="1", work="letter.class", outcome="done"),
            ("idp_jobs_ended_total", "kind=other", "state=done"),
        ),
    ],
    ids=lambda value: value.kind if isinstance(value, Event) else "",
)
def test_an_event_counts_when_it_is_committed(
    app: Flask, counted: Counted, event: Event, series: tuple[str, ...]
) -> None:
    def recorded_and_undone() -> None:
        with unit_of_work():
            log.record(event)
            raise LookupError

    with pytest.raises(LookupError):
        recorded_and_undone()
    assert series not in counted()
    with unit_of_work():
        log.record(event)
        assert series not in counted()
    assert counted()[series] == 1


def test_the_queue_of_hashes_is_counted(settings: Settings, counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("idp.accounts.passwords.hasher.WAIT_SECONDS", 0.01)
    hasher = Hasher(settings.model_copy(update={"hash_concurrency": 1}))
    hasher.hash("x", "sign_in")
    hasher._queues["sign_in"]._turns.acquire()
    with pytest.raises(HasherBusyError):
        hasher.hash("x", "sign_in")
    seen = counted()
    assert seen["idp_password_hashes_refused_total", "lane=sign_in", "reason=late"] == 1
    assert seen["idp_password_hash_wait_seconds_count", "lane=sign_in"] == 2
    assert seen["idp_password_hashes_waiting", "lane=sign_in"] == 0


def test_requests_that_wait_too_long_for_a_thread_are_counted(
    app: Flask, counted: Counted, capsys: pytest.CaptureFixture[str]
) -> None:
    door = door_of(app)
    door.shed(Request(EnvironBuilder("/connexion", method="POST").get_environ()))
    door.shed(Request(EnvironBuilder("/mentions-legales").get_environ()))
    seen = counted()
    assert seen["idp_http_requests_shed_total", "reason=queue"] == 2
    assert seen["idp_http_requests_total", "endpoint=login.sign_in", "status=5xx"] == 1
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if '"request"' in line]
    assert [(line["endpoint"], line["status"]) for line in lines] == [("login.sign_in", 503), (None, 503)]


@each_row(
    ("error", "outcome"),
    [
        (None, "sent"),
        (TemporaryDeliveryError("451 later"), "waiting"),
        (PostponedError("not yet", timedelta(minutes=1)), "waiting"),
        (RelayDownError("connection refused"), "relay_down"),
        (UncertainDeliveryError("no answer"), "uncertain"),
        (PermanentDeliveryError("550 no such mailbox"), "dead"),
    ],
)
def test_each_outcome_of_a_message_is_counted_by_its_name(
    app: Flask, counted: Counted, error: Exception | None, outcome: str
) -> None:
    def deliver(_message: OutboxMessage) -> Outcome:
        if error is not None:
            raise error
        return Outcome.DONE

    name = ("idp_outbox_deliveries_total", f"kind={NOTICE}", f"outcome={outcome}")
    timed = ("idp_outbox_delivery_duration_seconds_count", f"kind={NOTICE}")
    before = counted()
    with unit_of_work():
        enqueue(NOTICE, {})
    assert Worker({NOTICE: deliver}).run_once() == 1
    seen = counted()
    assert seen[name] == before.get(name, 0) + 1
    assert seen[timed] == before.get(timed, 0) + 1
