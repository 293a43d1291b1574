"""The alarm over all accounts and nodes: a distributed attack is visible only in the sum."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask

from idp.accounts.passwords import alarm
from idp.config import Settings
from idp.services import services_of
from tests.builders import Build
from tests.databases import ISSUER, settings_for
from tests.pages import form_token
from tests.protocol.nodes import node
from tests.recovery.steps import journal

pytestmark = pytest.mark.row("I-21")

MOST = 6
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def settings(database_url: str) -> Settings:
    return settings_for(database_url, failure_alarm=MOST)


def fail(app: Flask, number: int) -> None:
    browser = app.test_client()
    browser.environ_base["REMOTE_ADDR"] = f"203.0.113.{number}"
    page = browser.get("/connexion", base_url=ISSUER)
    form = {"csrf_token": form_token(page), "identifiant": f"x.inconnu{number}", "mot-de-passe": "faux"}
    assert browser.post("/connexion", data=form, base_url=ISSUER).status_code == 200


def test_failures_of_all_nodes_raise_one_alarm_a_minute(
    app: Flask, database_url: str, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    with time_machine.travel(NOON, tick=False) as clock, node(database_url, failure_alarm=MOST) as other:
        for number in range(MOST - 1):
            fail((app, other)[number % 2], number)
        assert journal("failures.alarm") == []
        for number in range(MOST - 1, 4 * MOST):
            fail((app, other)[number % 2], number)
        [entry] = journal("failures.alarm")
        assert (entry.details["most"], entry.result) == (MOST, "ok")
        assert capsys.readouterr().err.count('"many failures"') == 1
        clock.shift(timedelta(seconds=61))
        for number in range(100, 100 + 2 * MOST):
            fail((app, other)[number % 2], number)
        assert len(journal("failures.alarm")) == 2


def test_fewer_failures_in_each_minute_raise_none(app: Flask, build: Build) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        for number in range(3 * MOST):
            fail(app, number)
            clock.shift(timedelta(seconds=13))
    assert journal("failures.alarm") == []


def test_wrong_proofs_of_clients_count_too(app: Flask, build: Build) -> None:
    for number in range(MOST):
        browser = app.test_client()
        browser.environ_base["REMOTE_ADDR"] = f"203.0.113.{number}"
        answer = browser.post("/token", data={"grant_type": "authorization_code"}, auth=(f"client{number}", "faux"))
        assert answer.status_code == 401
    assert len(journal("failures.alarm")) == 1


def test_zero_switches_it_off(database_url: str) -> None:
    with node(database_url, failure_alarm=0) as app, app.app_context():
        for number in range(MOST):
            fail(app, number)
        assert journal("failures.alarm") == []


def test_more_failures_prepare_no_more_statements(app: Flask, settings: Settings) -> None:
    # A statement that is prepared stays in the memory of the database as long as its connection.

    def prepared() -> int:
        with services_of(app).connections.lend() as lent:
            connection: Any = lent.driver_connection
            [count] = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
            return int(count)

    counts = []
    for _ in range(2):  # the first alarm has a statement of its own
        for _ in range(MOST + 1):
            alarm.count_failure(settings)
        counts.append(prepared())
    assert counts[0] == counts[1]
