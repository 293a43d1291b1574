"""G rows about the request, N-02, and who gets which mail for it."""

import re

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.services import services_of
from tests.builders import Build
from tests.closed import dispute
from tests.email_confirmation.post import html_of, post_office, text_of
from tests.pages import cookie_value, form_token, heading
from tests.recovery.steps import (
    LOOK,
    PASSWORD,
    USERNAME,
    answers,
    ask_password,
    from_ip,
    journal,
    link_of,
    outbox,
)
from tests.relying_party import RelyingParty
from tests.statements.lending import heard

_CASES = {
    "active": "link",
    "blocked": "link",
    "unknown": "unknown",
    "no identifier": "unknown",
    "never activated": "never_activated",
    "never activated, no address": "no_address",
    "unconfirmed": "unconfirmed",
    "no address": "no_address",
    "disabled": "disabled",
    "contested": "disputed",
    "disputed": "disputed",
}
"""Each state of an account, and what becomes of its request."""


def _typed(build: Build) -> dict[str, str]:
    active = build.active(email="active@exemple.fr")
    accounts = {
        "active": active,
        "blocked": build.active(email="bloquee@exemple.fr", password_state=PasswordState.BLOCKED),
        "never activated": build.never_activated(school_email="ecole@exemple.fr"),
        "never activated, no address": build.never_activated(),
        "unconfirmed": build.active(email=None, pending_email="attente@exemple.fr"),
        "no address": build.active(email=None),
        "disabled": build.active(email="fermee@exemple.fr", disabled_at=now()),
        "contested": build.active(
            email="contestee@exemple.fr", contested_at=now(), password_state=PasswordState.BLOCKED
        ),
        "disputed": build.never_activated(school_email="dispute@exemple.fr"),
    }
    dispute(accounts["disputed"].id)
    typed = {case: account.username for case, account in accounts.items()}
    return typed | {"unknown": "x.inconnu1234", "no identifier": "noemie@exemple.fr"}


@pytest.mark.row("G-01")
def test_each_state_gets_its_own_mail_or_none(app: Flask, build: Build, ent: RelyingParty) -> None:
    typed = _typed(build)
    for number, identifier in enumerate(typed.values()):
        ask_password(from_ip(app, f"203.0.113.{number}"), identifier)
    with post_office(app) as office:
        mails = {str(mail["To"]): mail for mail in office.deliver()}
    subjects = {email: re.sub(r"^\d{6} – ", "", str(mail["Subject"])) for email, mail in mails.items()}
    assert subjects == {
        "active@exemple.fr": "Choisissez un nouveau mot de passe",
        "bloquee@exemple.fr": "Choisissez un nouveau mot de passe",
        "ecole@exemple.fr": "Votre compte n’est pas activé",
        "attente@exemple.fr": "Activez votre compte",
    }
    assert sorted(answers()) == sorted(_CASES[case] for case in typed)
    reminder = mails["ecole@exemple.fr"]
    for part in (text_of(reminder), html_of(reminder)):
        assert "/lien/" not in part, "nobody proved that this address is the parent's: no link opens anything"
        assert typed["never activated"] not in part
        assert "https://ent.test/" in part, ent.client_id
        assert "Le secrétariat de l’établissement (Collège des Tilleuls) vous en donne un nouveau." in part


def test_the_mail_states_the_account_the_lifetime_and_the_advice(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account = build.active(email="Noemie@exemple.fr")
    ask_password(browser, account.username.upper().replace("N.", "n. "))
    with post_office(app) as office:
        [mail] = office.deliver()
    assert (mail["To"], mail["Auto-Submitted"]) == ("Noemie@exemple.fr", "auto-generated")
    for part in (text_of(mail), html_of(mail)):
        assert f"le mot de passe du compte {account.username}." in part
        assert "Le lien est valable 30 minutes et sert une seule fois." in part
        assert "VANDEPUTTE" not in part
    assert html_of(mail).count("<a href=") == 2, "the button, and the address in full"
    assert link_of(mail)


@pytest.mark.row("G-04")
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.test"},
        {"X-Forwarded-Host": "evil.test"},
        {"Forwarded": "host=evil.test;proto=http"},
        {"X-Original-Host": "evil.test", "X-Host": "evil.test", "X-Forwarded-Server": "evil.test"},
        {"X-Original-URL": "https://evil.test/mot-de-passe-oublie", "X-Forwarded-Proto": "http"},
    ],
    ids="+".join,
)
def test_headers_of_the_request_do_not_change_the_mails_link(
    app: Flask, browser: FlaskClient, headers: dict[str, str], parent: Account
) -> None:
    data = {"csrf_token": form_token(browser.get(PASSWORD)), "identifiant": parent.username}
    cookie = cookie_value(browser, "__Host-tx")
    forging = app.test_client(use_cookies=False)  # the other one keeps its cookies to itself for a foreign host
    answer = forging.post(
        PASSWORD,
        data=data,
        headers={**headers, "Cookie": f"__Host-tx={cookie}"},
        environ_overrides={"REQUEST_URI": f"http://evil.test{PASSWORD}", "RAW_URI": f"http://evil.test{PASSWORD}"},
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{PASSWORD}/envoye")
    with post_office(app) as office:
        [mail] = office.deliver()
    assert link_of(mail).startswith("/mot-de-passe/lien/")
    assert "evil" not in mail.as_string() + text_of(mail) + html_of(mail)


@pytest.mark.row("G-13")
def test_a_form_of_another_site_is_refused(browser: FlaskClient, parent: Account) -> None:
    for data in ({"identifiant": parent.username}, {"identifiant": parent.username, "csrf_token": "x" * 60}):
        assert browser.post(PASSWORD, data=data).status_code == 400
    assert browser.get(f"{PASSWORD}?identifiant={parent.username}").status_code == 200
    assert outbox("recovery.password") == []


@pytest.mark.row("N-02")
def test_both_pages_share_the_rate_limit_of_a_network(browser: FlaskClient, build: Build, few: int) -> None:
    with time_machine.travel(now(), tick=False):
        for number in range(few):
            assert heading(ask_password(browser, f"x.inconnu{number}")) == LOOK
        for username in (build.active().username, "x.inconnu99"):
            stopped = ask_password(browser, username)
            assert (stopped.status_code, stopped.headers["Retry-After"]) == (429, "3600")
        assert browser.post("/identifiant-oublie", data={"mail": "a@exemple.fr"}).status_code == 400
        data = {"csrf_token": form_token(browser.get("/identifiant-oublie")), "mail": "a@exemple.fr"}
        assert browser.post("/identifiant-oublie", data=data).status_code == 429


def test_the_journal_names_the_account_of_a_request_and_no_identifier(
    app: Flask, browser: FlaskClient, parent: Account
) -> None:
    browser.environ_base["REMOTE_ADDR"] = "203.0.113.9"
    ask_password(browser, parent.username)
    ask_password(browser, "x.inconnu1234")
    assert answers() == [], "the request itself writes nothing that depends on the account"
    with post_office(app) as office:
        office.deliver()
    entries = {entry.details["answer"]: entry for entry in journal("recovery.password")}
    assert entries["link"].account_id == parent.id
    assert entries["unknown"].account_id is None
    assert "inconnu" not in str(entries["unknown"].details)
    assert {entry.ip for entry in entries.values()} == {"203.0.113.9"}, "where it was asked"
    assert all(entry.request_id for entry in entries.values())
    assert [message.payload for message in outbox("recovery.password")] == [{}, {}]


def count_entries() -> int:
    db.session.rollback()
    number = db.session.scalar(select(func.count()).select_from(AuditEntry)) or 0
    db.session.rollback()
    return number


@pytest.mark.row("O-07")
@pytest.mark.parametrize(("path", "field"), [(PASSWORD, "identifiant"), (USERNAME, "mail")])
def test_refused_requests_leave_one_entry_an_hour(app: Flask, build: Build, path: str, field: str, few: int) -> None:
    browser = from_ip(app, "203.0.113.7")
    token = form_token(browser.get(path))
    statuses = [
        browser.post(path, data={"csrf_token": token, field: f"parent{number}@exemple.fr"}).status_code
        for number in range(60)
    ]
    assert (statuses[:few], set(statuses[few:])) == ([303] * few, {429})
    assert len(journal("recovery.throttled")) == 1, "many refusals, one entry"
    before = count_entries()
    with heard() as run:
        for number in range(60):
            browser.post(path, data={"csrf_token": token, field: f"autre{number}@exemple.fr"})
    assert [line for line in run if not line.startswith("SELECT")] == []
    assert count_entries() == before


@pytest.mark.row("O-07")
@pytest.mark.usefixtures("few")
def test_refusals_after_a_restart_write_no_more_entries(app: Flask, build: Build) -> None:
    browser = from_ip(app, "203.0.113.7")
    token = form_token(browser.get(PASSWORD))
    for number in range(40):
        services_of(app).refusals.clear()  # another worker, or ten seconds later
        browser.post(PASSWORD, data={"csrf_token": token, "identifiant": f"parent{number}"})
    assert len(journal("recovery.throttled")) == 1


@pytest.mark.row("O-07")
def test_each_refused_subject_has_its_own_entry(app: Flask, build: Build) -> None:
    for number in range(3):
        browser = from_ip(app, f"203.0.113.{number}")
        token = form_token(browser.get(PASSWORD))
        for _ in range(3):
            browser.post(PASSWORD, data={"csrf_token": token, "identifiant": f"parent{number}"})
    assert len(journal("recovery.throttled")) == 3


@pytest.mark.row("O-07")
def test_a_refused_sign_in_leaves_one_entry_an_hour(app: Flask, build: Build) -> None:
    browser = from_ip(app, "203.0.113.7")
    token = form_token(browser.get("/connexion"))
    for _ in range(12):
        services_of(app).refusals.clear()
        browser.post("/connexion", data={"csrf_token": token, "identifiant": "x.inconnu", "mot-de-passe": "faux"})
    assert [entry.result for entry in journal("sign_in")] == ["refused"] * 5 + ["throttled"]
