"""Attempts are counted before the hash, no account is locked for ever, and the sum of all accounts raises an alarm."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from idp.accounts.models import Account
from idp.accounts.passwords import alarm
from idp.accounts.passwords.hasher import Hasher, HasherBusyError
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.services import services_of
from idp.sessions.models import Session
from idp.throttle import limits
from tests.activation.steps import CHOSEN, fill_in, open_activation
from tests.builders import PASSWORD, PROVISIONAL, Build
from tests.databases import ISSUER, settings_for
from tests.pages import form_token, heading, sign_in
from tests.protocol.nodes import node
from tests.recovery.steps import journal

_ACCOUNT = "Gérer mon compte"


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> int:
    """Set the budget of wrong sign-ins of an IP to a few in a minute; return how many."""
    few = limits.Window(8, timedelta(minutes=1))
    monkeypatch.setattr(limits, "SIGN_IN_REQUESTS", replace(limits.SIGN_IN_REQUESTS, windows=(few,)))
    return few.tries


@pytest.mark.row("I-04")
def test_the_pause_grows_up_to_ten_minutes_and_a_right_password_ends_it(
    browser: FlaskClient, app: Flask, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        for _ in range(4):
            assert sign_in(browser, "/connexion", parent.username, "faux").status_code == 200
        for pause in (5, 15):
            assert sign_in(browser, "/connexion", parent.username, "faux").status_code == 200
            early = sign_in(browser, "/connexion", parent.username, PASSWORD)
            assert (early.status_code, early.headers["Retry-After"]) == (429, str(pause))
            assert "Pour protéger le compte, il faut attendre avant le suivant." in early.text
            clock.shift(timedelta(seconds=pause))
        assert heading(sign_in(browser, "/connexion", parent.username, PASSWORD)) == _ACCOUNT
        other = app.test_client()
        for _ in range(5):
            assert sign_in(other, "/connexion", parent.username, "faux").status_code == 200


@pytest.mark.row("I-06")
def test_concurrent_guesses_are_verified_up_to_the_limit(
    app: Flask, monkeypatch: pytest.MonkeyPatch, parent: Account
) -> None:
    looked_at = []
    real = Hasher.verify

    def counting(self: Hasher, stored: str | None, password: str, lane: str) -> bool:
        looked_at.append(password)
        return real(self, stored, password, lane)  # type: ignore[arg-type]

    monkeypatch.setattr(Hasher, "verify", counting)

    def guess(number: int) -> int:
        with app.app_context():
            browser = app.test_client()
            browser.environ_base["REMOTE_ADDR"] = f"203.0.113.{number}"
            data = {"identifiant": parent.username, "mot-de-passe": f"faux {number}"}
            return browser.post(
                "/connexion", data={**data, "csrf_token": form_token(browser.get("/connexion"))}
            ).status_code

    with time_machine.travel(now(), tick=False), ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(guess, range(60)))
    assert sorted(answers) == [200] * limits.SIGN_IN_ACCOUNT.free + [429] * (60 - limits.SIGN_IN_ACCOUNT.free)
    assert len(looked_at) == limits.SIGN_IN_ACCOUNT.free


@pytest.mark.row("I-08")
def test_tries_on_one_account_never_stop_another(app: Flask, build: Build) -> None:
    victim, other = build.active(), build.active()
    with time_machine.travel(now(), tick=False):
        for n in range(8):
            guesser = app.test_client()
            guesser.environ_base["REMOTE_ADDR"] = f"203.0.113.{n}"
            sign_in(guesser, "/connexion", victim.username, "faux")
            sign_in(guesser, "/connexion", other.email or "", "faux")
        assert heading(sign_in(app.test_client(), "/connexion", other.username, PASSWORD)) == _ACCOUNT


@pytest.mark.row("I-10")
@pytest.mark.parametrize("forged", ["1.2.3.{n}", "garbage{n}", "1.2.3.{n}, 5.6.7.8", "::{n}", "\xff{n}"])
def test_a_forged_ip_gets_no_new_budget(browser: FlaskClient, build: Build, forged: str, tries: int) -> None:
    build.active()
    with time_machine.travel(now(), tick=False):
        token = form_token(browser.get("/connexion"))
        statuses = [
            browser.post(
                "/connexion",
                data={"csrf_token": token, "identifiant": f"x.inconnu{n}", "mot-de-passe": "x" * 200},
                headers={"X-Forwarded-For": forged.format(n=n), "Forwarded": f"for=1.2.3.{n}"},
            ).status_code
            for n in range(tries + 2)
        ]
    assert statuses == [200] * tries + [429] * 2


@pytest.mark.row("I-11")
def test_right_passwords_from_the_ip_of_a_school_are_not_rate_limited(app: Flask, tries: int, parent: Account) -> None:
    with time_machine.travel(now(), tick=False):
        for _ in range(tries + 5):
            assert heading(sign_in(app.test_client(), "/connexion", parent.username, PASSWORD)) == _ACCOUNT


@pytest.mark.row("W-01")
def test_full_sign_in_lane_refuses_quickly_and_activation_continues(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account, hasher = build.never_activated(), services_of(app).hasher
    activation = open_activation(browser, account)
    with ExitStack() as crowd:
        while not _is_full(hasher):
            crowd.enter_context(hasher.queue_slot("sign_in"))
        busy = sign_in(app.test_client(), "/connexion", account.username, PROVISIONAL)
        assert (busy.status_code, busy.headers["Retry-After"]) == (503, "5")
        assert heading(busy) == "Beaucoup de familles se connectent"
        assert heading(fill_in(browser, activation)) == "Consultez votre messagerie"
    assert heading(sign_in(app.test_client(), "/connexion", account.username, CHOSEN)) == "Consultez votre messagerie"


def _is_full(hasher: Hasher) -> bool:
    try:
        with hasher.queue_slot("sign_in"):
            return False
    except HasherBusyError:
        return True


def count_open(account: Account) -> int:
    opened = Session.account_id == account.id, Session.ended_at.is_(None)
    number = db.session.scalar(select(func.count()).select_from(Session).where(*opened)) or 0
    db.session.rollback()
    return number


@pytest.mark.row("I-27")
def test_an_account_signs_in_sixty_times_an_hour_and_keeps_the_thirty_youngest_sessions(
    app: Flask, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        browsers = [app.test_client() for _ in range(limits.SIGN_INS.tries)]
        for number, browser in enumerate(browsers, 1):
            assert heading(sign_in(browser, "/connexion", parent.username, PASSWORD)) == "Gérer mon compte"
            assert count_open(parent) == min(number, limits.MOST_SESSIONS)
            clock.shift(timedelta(seconds=1))
        assert heading(browsers[30].get("/mon-compte")) == "Gérer mon compte"
        assert browsers[29].get("/mon-compte").status_code == 303, "the oldest one ended"
        for _ in range(limits.SIGN_IN_ACCOUNT.free + 1):  # a right password is no failure
            refused = sign_in(app.test_client(), "/connexion", parent.username, PASSWORD)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, str(3600 - limits.SIGN_INS.tries))
        assert heading(refused) == "Un peu de patience"
        assert count_open(parent) == limits.MOST_SESSIONS
        clock.shift(timedelta(hours=1))
        assert heading(sign_in(app.test_client(), "/connexion", parent.username, PASSWORD)) == "Gérer mon compte"


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


@pytest.mark.row("I-21")
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


@pytest.mark.row("I-21")
def test_fewer_failures_in_each_minute_raise_none(app: Flask, build: Build) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        for number in range(3 * MOST):
            fail(app, number)
            clock.shift(timedelta(seconds=13))
    assert journal("failures.alarm") == []


@pytest.mark.row("I-21")
def test_wrong_proofs_of_clients_count_too(app: Flask, build: Build) -> None:
    for number in range(MOST):
        browser = app.test_client()
        browser.environ_base["REMOTE_ADDR"] = f"203.0.113.{number}"
        answer = browser.post("/token", data={"grant_type": "authorization_code"}, auth=(f"client{number}", "faux"))
        assert answer.status_code == 401
    assert len(journal("failures.alarm")) == 1


@pytest.mark.row("I-21")
def test_zero_switches_it_off(database_url: str) -> None:
    with node(database_url, failure_alarm=0) as app, app.app_context():
        for number in range(MOST):
            fail(app, number)
        assert journal("failures.alarm") == []


@pytest.mark.row("I-21")
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
