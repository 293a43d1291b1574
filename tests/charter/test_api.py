"""`GET /charter` and `POST /charter/acceptance`, for ENTs that show their charter themselves (C-02, C-03, C-04)."""

from dataclasses import replace
from datetime import timedelta

import pytest
import time_machine
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.registration import rows
from tests.builders import PASSWORD, Build, change_registration
from tests.charter.tokens import accept, acceptances, ask, token_of
from tests.pages import sign_in
from tests.relying_party import Attempt, RelyingParty

_SECOND = "# Charte\n\nSoyons *vraiment* polis."


@pytest.fixture
def ent(build: Build) -> RelyingParty:
    ent = build.ent(charter="ent")
    build.publish(ent, "2026-09")
    return ent


def test_the_ent_reads_its_charter_and_records_an_acceptance(
    browser: FlaskClient, ent: RelyingParty, parent: Account
) -> None:
    tokens = token_of(browser, ent, parent)
    assert tokens["claims"]["charter_accepted"] is False
    assert tokens["claims"]["charter_version"] == "2026-09"
    assert "charter_accepted_at" not in tokens["claims"]
    owed = ask(browser, tokens["access_token"])
    assert owed.status_code == 200
    assert owed.get_json() == {
        "version": "2026-09",
        "published_at": owed.get_json()["published_at"],
        "markdown": "# Charte\n\nSoyons polis.",
        "html": "<h2>Charte</h2>\n<p>Soyons polis.</p>\n",
        "accepted": False,
    }
    moment = now().replace(microsecond=0) + timedelta(seconds=5)
    with time_machine.travel(moment, tick=False):
        done = accept(browser, tokens["access_token"], "2026-09")
        assert done.status_code == 200
        assert (done.get_json()["accepted"], done.get_json()["accepted_at"]) == (True, int(moment.timestamp()))
    [acceptance] = acceptances()
    assert (acceptance.account_id, acceptance.accepted_at, acceptance.ip) == (parent.id, moment, "127.0.0.1")
    info = ent.userinfo(browser, tokens["access_token"]).get_json()
    assert info["charter_accepted"] is True
    assert info["charter_accepted_at"] == int(moment.timestamp())


@pytest.mark.row("C-02")
def test_an_ent_that_leaves_its_charter_to_the_provider_accepts_it_for_nobody(
    browser: FlaskClient, build: Build, settings: Settings
) -> None:
    ent = build.ent(charter="ent")
    token = token_of(browser, ent, build.active())["access_token"]
    build.publish(ent, "2026-09")
    client = db.session.scalars(select(Client).where(Client.client_id == ent.client_id)).one()
    change_registration(settings, client, replace(rows.read(client), charter="provider"))
    refused = accept(browser, token, "2026-09")
    assert (refused.status_code, refused.get_json()["error"]) == (403, "access_denied")
    assert acceptances() == []
    assert ask(browser, token).get_json()["accepted"] is False, "it may read what its parents owe"


@pytest.mark.row("C-02")
def test_acceptance_without_a_valid_token_is_refused(browser: FlaskClient, ent: RelyingParty, parent: Account) -> None:
    token = token_of(browser, ent, parent)["access_token"]
    body = {"version": "2026-09"}
    for headers in ({}, {"Authorization": "Bearer " + "x" * 43}, {"Authorization": f"Basic {token}"}):
        for answer in (
            browser.get("/charter", headers=headers),
            browser.post("/charter/acceptance", json=body, headers=headers),
        ):
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert browser.post(f"/charter/acceptance?access_token={token}", json=body).status_code == 400
    with time_machine.travel(now() + timedelta(minutes=11)):
        assert accept(browser, token, "2026-09").status_code == 401
    assert acceptances() == []


@pytest.mark.row("C-02")
def test_acceptance_without_the_scope_is_refused(browser: FlaskClient, build: Build, ent: RelyingParty) -> None:
    token = token_of(browser, ent, build.active(), scope="openid profile")["access_token"]
    for answer in (ask(browser, token), accept(browser, token, "2026-09")):
        assert answer.status_code == 403
        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert acceptances() == []


@pytest.mark.row("C-03")
def test_claims_need_the_scope_and_cannot_be_sent_in_the_request(
    browser: FlaskClient, ent: RelyingParty, parent: Account
) -> None:
    tokens = token_of(browser, ent, parent, scope="openid profile", charter_accepted="true", charter_version="2026-09")
    info = ent.userinfo(browser, tokens["access_token"]).get_json()
    assert not any(name.startswith("charter") for name in (*tokens["claims"], *info))
    assert acceptances() == []


@pytest.mark.row("C-04")
def test_repeated_acceptance_keeps_the_first_record(browser: FlaskClient, build: Build, ent: RelyingParty) -> None:
    token = token_of(browser, ent, build.active())["access_token"]
    first = accept(browser, token, "2026-09")
    with time_machine.travel(now() + timedelta(minutes=5)):
        second = accept(browser, token, "2026-09")
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.get_json() == second.get_json()
    assert len(acceptances()) == 1
    journal = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "charter.accepted")).all()
    assert [entry.details for entry in journal] == [{"version": "2026-09", "shown_by": "ent"}]


@pytest.mark.row("C-04")
def test_an_old_and_a_future_version_are_refused_and_the_current_one_is_shown(
    browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    token = token_of(browser, ent, build.active())["access_token"]
    build.publish(ent, "2027-01", _SECOND)
    for version in ("2026-09", "2028-01", "2027-01 ", "2027-01\x00", "é", "x" * 40):
        answer = accept(browser, token, version)
        assert answer.status_code == 409, version
        assert answer.get_json()["error"] == "version_conflict"
        assert (answer.get_json()["version"], answer.get_json()["markdown"]) == ("2027-01", _SECOND)
    assert acceptances() == []
    assert accept(browser, token, "2027-01").status_code == 200


@pytest.mark.row("C-04")
def test_a_body_without_version_is_refused(browser: FlaskClient, build: Build, ent: RelyingParty) -> None:
    token = token_of(browser, ent, build.active())["access_token"]
    for body in (
        b"",
        b"{",
        b"[]",
        b'"2026-09"',
        b"{}",
        b'{"version": null}',
        b'{"version": 2026}',
        b'{"version": ""}',
        b'{"version": "' + b"x" * 41 + b'"}',
        b'{"version": ["2026-09"]}',
        b"\xff\xfe",
        b"[" * 60_000,
        {"version": "2026-09"},  # a form
    ):
        kind = "application/json" if isinstance(body, bytes) else None
        headers = {"Authorization": f"Bearer {token}"}
        answer = browser.post("/charter/acceptance", data=body, headers=headers, content_type=kind)
        assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_request"), body
    assert acceptances() == []


def test_an_ent_without_charter_gets_an_explicit_error(browser: FlaskClient, build: Build) -> None:
    ent = build.ent("Horizon", "horizon.test", charter="ent")
    account = build.active()
    attempt = Attempt()
    answer = ent.answer(sign_in(browser, ent.url(attempt), account.username, PASSWORD))
    token = ent.tokens(browser, answer["code"], attempt)["access_token"]
    for response in (ask(browser, token), accept(browser, token, "1")):
        assert (response.status_code, response.get_json()["error"]) == (404, "no_charter")
