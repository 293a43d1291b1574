"""What people do is counted, once and when it is committed, and costs no statement."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder

from idp.accounts.notices import NOTICE
from idp.accounts.passwords.hasher import Hasher, HasherBusyError
from idp.audit import log
from idp.audit.credential_events import (
    DeviceSessionChanged,
    DeviceSessionReused,
    EmailConfirmed,
    PasskeyRefused,
    PasswordReset,
    ResetRequested,
)
from idp.audit.desk_events import JobFinished
from idp.audit.events import ActivationCompleted
from idp.audit.kinds import Event
from idp.config import Settings
from idp.db import unit_of_work
from idp.outbox.queue import OutboxMessage, enqueue
from idp.outbox.worker import (
    Outcome,
    PermanentDeliveryError,
    PostponedError,
    RelayDownError,
    TemporaryDeliveryError,
    UncertainDeliveryError,
    Worker,
)
from idp.web.door.door import Door
from idp.web.http import Request
from tests.builders import PASSWORD, Build
from tests.metrics.scraping import Numbers
from tests.pages import sign_in
from tests.protocol.flow import code_for, tokens_for
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row

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
    sign_in(browser, "/mon-compte", parent.username, f"{PASSWORD}x")
    sign_in(browser, "/mon-compte", parent.username, PASSWORD)
    tokens_for(browser, ent)
    attempt = Attempt()
    code = code_for(browser, ent, attempt)
    assert [ent.exchange(browser, code, attempt).status_code for _ in range(2)] == [200, 400]
    seen = counted()
    assert seen[SIGN_IN, "method=password", "result=ok"] == 1
    assert seen[SIGN_IN, "method=password", "result=wrong"] == 1
    assert seen[TOKEN, "error=none", "grant=authorization_code"] == 2
    assert seen[TOKEN, "error=invalid_grant", "grant=authorization_code"] == 1
    assert seen["idp_journal_events_total", "kind=code.issued", "result=ok"] == 2
    assert seen["idp_http_requests_total", "endpoint=oidc.token", "status=2xx"] == 2
    assert seen["idp_http_request_duration_seconds_count", "endpoint=oidc.token"] == 3
    assert seen["idp_database_connections_in_use", "pool=sessions"] == 0
    assert seen["idp_database_connections_in_use", "pool=statements"] == 0
    assert seen["idp_database_connections_limit", "pool=statements"] > 0


def test_throttled_sign_ins_are_counted_each_time(browser: FlaskClient, build: Build, counted: Counted) -> None:
    parent = build.active()
    for _ in range(8):
        sign_in(browser, "/mon-compte", parent.username, "faux")
    seen = counted()
    assert seen[SIGN_IN, "method=password", "result=wrong"] == 5
    assert seen[SIGN_IN, "method=password", "result=throttled"] == 3
    assert seen["idp_rate_limit_refusals_total", "limit=sign_in_account"] == 3


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
    door = app.wsgi_app
    assert isinstance(door, Door)
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
