"""« Rester connecté sur cet appareil »: the device session, its secret that turns, and all that ends it (row I-25)."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.oidc.claims.release import PASSKEY_CLASS
from idp.operations.purge import commands as purge
from idp.outbox.queue import OutboxMessage
from idp.services import services_of
from idp.sessions.models import DeviceSession, Session
from tests import forked
from tests.authenticator import key_of_parent
from tests.builders import PASSWORD, PROVISIONAL, Build, commit
from tests.closed import suspend
from tests.my_account.passkeys import owner, sign_in as by_passkey
from tests.pages import cookie_value, follow, form_token, heading, submit
from tests.protocol.flow import tokens_for
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row
from tests.services import change_settings

HOST = "connexion.exemple.test"
DEVICE, SESSION = "__Host-ds", "__Host-ss"


def stay(browser: FlaskClient, account: Account, url: str = "/connexion", **fields: str) -> str:
    page = follow(browser, browser.get(url))
    assert heading(page) == "Connexion"
    assert "Rester connecté sur cet appareil" in page.text
    submit(browser, page, identifiant=account.username, mot_de_passe=PASSWORD, rester="1", **fields)
    return cookie_of(browser)


def cookie_of(browser: FlaskClient, name: str = DEVICE) -> str:
    return cookie_value(browser, name)


def close(browser: FlaskClient) -> None:
    browser.delete_cookie(SESSION, domain=HOST)


def put(browser: FlaskClient, value: str) -> None:
    browser.set_cookie(DEVICE, value, domain=HOST, secure=True)


def notices_of(notice: str) -> int:
    rows = db.session.scalars(select(OutboxMessage).where(OutboxMessage.kind == "account.notice")).all()
    return sum(row.payload["notice"] == notice for row in rows)


def journal(kind: str) -> list[str]:
    rows = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == kind).order_by(AuditEntry.id)).all()
    return [row.details.get("change", row.result) for row in rows]


def device() -> DeviceSession:
    return db.session.scalars(select(DeviceSession).execution_options(populate_existing=True)).one()


def is_asked(browser: FlaskClient, url: str) -> bool:
    response = follow(browser, browser.get(url))
    return response.status_code == 200 and heading(response) == "Connexion"


ROOT = Path(__file__).parents[2]


@pytest.mark.row("I-25")
def test_a_closed_browser_enters_without_a_password_by_a_new_secret(
    browser: FlaskClient, ent: RelyingParty, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        first = stay(browser, parent)
        before = tokens_for(browser, ent)["claims"]
        for days in (1, 12):
            close(browser)
            clock.shift(timedelta(days=days))
            claims = tokens_for(browser, ent, prompt="none")["claims"]
            assert {name: claims[name] for name in ("auth_time", "sid", "sub", "amr", "acr")} == {
                name: before[name] for name in ("auth_time", "sid", "sub", "amr", "acr")
            }
            assert cookie_of(browser) not in {"", first}
        assert device().rotation == 2
        assert journal("device_session.changed") == ["begun", "used", "used"]
        assert notices_of("appareil_garde") == 1
        clock.shift(timedelta(days=18))
        close(browser)
        assert is_asked(browser, ent.url(Attempt()))


@pytest.mark.row("I-25")
def test_max_age_and_prompt_login_keep_their_meaning(browser: FlaskClient, ent: RelyingParty, parent: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        stay(browser, parent)
        close(browser)
        clock.shift(timedelta(hours=13))
        assert ent.answer(browser.get(ent.url(Attempt(), prompt="none", max_age="3600")))["error"] == "login_required"
        assert tokens_for(browser, ent, prompt="none", max_age="90000")
        for asked in ({"max_age": "3600"}, {"prompt": "login"}):
            page = follow(browser, browser.get(ent.url(Attempt(), login_hint="profil:parent", **asked)))
            assert heading(page) == "Connexion"
            assert "Rester connecté" not in page.text, asked
            submit(browser, page, identifiant=parent.username, mot_de_passe=PASSWORD, rester="1")
            clock.shift(timedelta(minutes=1))
        assert len(db.session.scalars(select(DeviceSession)).all()) == 1, "nobody begins one where it is not offered"


@pytest.mark.row("I-25")
def test_an_ent_that_asks_for_a_fresh_password_has_no_device_session(
    browser: FlaskClient, build: Build, ent: RelyingParty, parent: Account
) -> None:
    # `default_max_age` (Registration 1.0, 2) is the ENT's refusal, for all its requests.
    library = build.ent("Borne", host="borne.test", default_max_age=3600)
    with time_machine.travel(now(), tick=False) as clock:
        stay(browser, parent)
        close(browser)
        clock.shift(timedelta(hours=2))
        page = follow(browser, browser.get(library.url(Attempt(), login_hint="profil:parent")))
        assert heading(page) == "Connexion"
        assert "Rester connecté" not in page.text
        assert not is_asked(browser, ent.url(Attempt()))


@pytest.mark.row("I-25")
def test_a_passkey_keeps_a_person_signed_in_as_the_password_does(
    app: Flask, browser: FlaskClient, ent: RelyingParty, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        key = owner(app, parent, key_of_parent())
        by_passkey(browser, key)
        assert not cookie_of(browser), "only a person who ticked the box"
        by_passkey(browser, key, "/connexion?compte=autre", rester="1")
        assert cookie_of(browser)
        before = tokens_for(browser, ent)["claims"]
        close(browser)
        clock.shift(timedelta(days=12))
        claims = tokens_for(browser, ent, prompt="none")["claims"]
        assert claims["acr"] == PASSKEY_CLASS
        assert {name: claims[name] for name in ("auth_time", "amr")} == {n: before[n] for n in ("auth_time", "amr")}
        close(browser)
        page = follow(browser, browser.get(ent.url(Attempt(), login_hint="profil:parent", max_age="60")))
        by_passkey(browser, key, page.request.full_path, rester="1")
        assert notices_of("appareil_garde") == 1, "nobody begins one where it is not offered"


@pytest.mark.row("I-25")
def test_the_account_asks_for_the_password_again(browser: FlaskClient, parent: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        stay(browser, parent)
        assert heading(browser.get("/mon-compte/sessions")) == "Mes connexions"
        close(browser)
        clock.shift(timedelta(hours=2))
        page = follow(browser, browser.get("/mon-compte"))
        assert heading(page) == "Confirmez que c’est vous"
        assert submit(browser, page, mot_de_passe=PASSWORD).request.path == "/mon-compte"


@pytest.mark.row("I-25")
def test_the_setting_switched_off_ends_it_for_good(
    app: Flask, browser: FlaskClient, ent: RelyingParty, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False):
        kept = stay(browser, parent)
        close(browser)
        change_settings(app, stay_days=0)
        assert is_asked(browser, ent.url(Attempt(), login_hint="profil:parent"))
        change_settings(app, stay_days=30)
        put(browser, kept)
        assert is_asked(browser, ent.url(Attempt(), login_hint="profil:parent"))
        change_settings(app, stay_days=0)
        done = purge._sessions(services_of(app).settings, now() + timedelta(days=2))
        assert done["device_sessions"] == 1, "also one that no browser showed meanwhile"


@pytest.mark.row("I-25")
def test_a_letter_of_another_person_ends_it(browser: FlaskClient, build: Build, parent: Account) -> None:
    page = browser.get("/connexion")
    stay(browser, parent)
    other = build.never_activated()
    browser.delete_cookie(SESSION, domain=HOST)
    kept = cookie_of(browser)
    browser.delete_cookie(DEVICE, domain=HOST)
    page = browser.get("/connexion")
    put(browser, kept)
    submit(browser, page, identifiant=other.username, mot_de_passe=PROVISIONAL)
    assert device().ended_at is not None
    assert not cookie_of(browser)


@pytest.mark.row("I-25")
@each_row("value", ["x", "a.b.c", "W10.aaaa.bbbb", "é", "z" * 3000])
def test_a_cookie_that_is_not_ours_is_nothing(browser: FlaskClient, ent: RelyingParty, value: str) -> None:
    put(browser, value)
    assert is_asked(browser, ent.url(Attempt(), login_hint="profil:parent"))


@pytest.mark.row("I-25")
@pytest.mark.parametrize("ending", ["generation", "suspended", "disabled"])
def test_an_account_that_changed_ends_it(browser: FlaskClient, ent: RelyingParty, parent: Account, ending: str) -> None:
    stay(browser, parent)
    close(browser)
    changes: dict[str, dict[str, object]] = {
        "generation": {"generation": Account.generation + 1},
        "disabled": {"disabled_at": now()},
    }
    if ending == "suspended":
        suspend(parent.id)
    else:
        commit(update(Account).where(Account.id == parent.id).values(**changes[ending]))
    assert is_asked(browser, ent.url(Attempt(), login_hint="profil:parent"))
    assert not cookie_of(browser)
    assert journal("device_session.reused") == []


@pytest.mark.row("I-25")
@pytest.mark.parametrize("is_closed", [False, True])
def test_a_sign_out_ends_it(browser: FlaskClient, ent: RelyingParty, parent: Account, is_closed: bool) -> None:  # noqa: FBT001
    stay(browser, parent)
    hint = tokens_for(browser, ent)["id_token"]
    kept = cookie_of(browser)
    if is_closed:
        close(browser)
    browser.get(f"/logout?id_token_hint={hint}")
    assert device().ended_at is not None
    assert not cookie_of(browser)
    put(browser, kept)
    assert is_asked(browser, ent.url(Attempt(), login_hint="profil:parent"))


@pytest.mark.row("I-25")
def test_it_is_listed_and_ended_from_another_device(
    app: Flask, browser: FlaskClient, ent: RelyingParty, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        stay(browser, parent)
        close(browser)
        clock.shift(timedelta(days=2))
        other = app.test_client()
        stay(other, parent)
        page = other.get("/mon-compte/sessions")
        assert page.text.count("Cet appareil reste connecté jusqu’au") == 2
        key = page.text.split('name="connexion" value="')[1].split('"')[0]
        other.post("/mon-compte/sessions", data={"csrf_token": form_token(page), "connexion": key})
        assert other.get("/mon-compte/sessions").text.count("Cet appareil reste connecté jusqu’au") == 1
        assert is_asked(browser, ent.url(Attempt(), login_hint="profil:parent"))
        stay(browser, parent)
        page = other.get("/mon-compte/sessions")
        other.post("/mon-compte/sessions", data={"csrf_token": form_token(page), "toutes": "1"})
        close(browser)
        close(other)
        assert is_asked(browser, ent.url(Attempt(), login_hint="profil:parent"))
        assert tokens_for(other, ent), "the reader's own device stays"


@pytest.mark.row("I-25")
def test_another_person_who_signs_in_takes_the_browser_over(
    browser: FlaskClient, build: Build, ent: RelyingParty, parent: Account
) -> None:
    stay(browser, parent)
    close(browser)
    other = build.active()
    page = follow(browser, browser.get(ent.url(Attempt(), prompt="login", login_hint="profil:parent")))
    submit(browser, page, identifiant=other.username, mot_de_passe=PASSWORD)
    assert device().ended_at is not None
    assert not cookie_of(browser)


@pytest.mark.row("I-25")
def test_the_purge_removes_it_a_week_after_its_end(app: Flask, browser: FlaskClient, parent: Account) -> None:
    stay(browser, parent)
    for days, count in ((36, 0), (38, 1)):
        done = purge._sessions(services_of(app).settings, now() + timedelta(days=days))
        assert done["device_sessions"] == count


@pytest.mark.row("I-25")
def test_sixteen_processes_show_one_secret_and_it_turns_once(
    browser: FlaskClient, ent: RelyingParty, parent: Account, database_url: str
) -> None:
    shown = stay(browser, parent)
    db.session.remove()
    request = {"path": "/mon-compte", "method": "GET", "headers": {"Cookie": f"{DEVICE}={shown}"}}
    order = {"database": database_url, "issuer": ent.issuer, "requests": [request], "processes": 16}
    done = forked.run("tests.protocol.rush", cwd=ROOT, timeout=300, stdin=json.dumps(order))
    assert done.returncode == 0, done.stderr[-2000:]
    [answers] = json.loads(done.stdout)
    assert {status for status, _error, _location in answers} == {303}
    assert {location for _status, _error, location in answers} == {"/mon-compte/verification"}
    assert device().rotation == 1
    assert db.session.scalar(select(func.count()).select_from(Session).where(Session.ended_at.is_(None))) == 17
