"""« Rester connecté sur cet appareil »: the device session, its secret that turns, and all that ends it (row I-25)."""

import json
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, insert, select, update

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.oidc.claims.release import PASSKEY_CLASS
from idp.operations.purge import commands as purge
from idp.outbox.models import OutboxMessage
from idp.services import services_of
from idp.sessions import staying
from idp.sessions.models import DeviceSession, Session
from idp.throttle import limits
from tests import forked
from tests.authenticator import key_of_parent
from tests.builders import PASSWORD, PROVISIONAL, Build
from tests.my_account.passkeys import owner
from tests.my_account.passkeys import sign_in as by_passkey
from tests.pages import follow, form_token, heading, submit
from tests.protocol.flow import OFFLINE, tokens_for
from tests.relying_party import Attempt, RelyingParty
from tests.services import change_settings

HOST = "connexion.exemple.test"
DEVICE, SESSION = "__Host-ds", "__Host-ss"
GONE = timedelta(minutes=1)
ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.row("I-25")


@pytest.fixture
def parent(build: Build) -> Account:
    return build.active()


def stay(browser: FlaskClient, account: Account, url: str = "/connexion", **fields: str) -> str:
    """Sign in with the tick; return the cookie of the device session."""
    page = follow(browser, browser.get(url))
    assert heading(page) == "Connexion"
    assert "Rester connecté sur cet appareil" in page.text
    submit(browser, page, identifiant=account.username, mot_de_passe=PASSWORD, rester="1", **fields)
    return cookie_of(browser)


def cookie_of(browser: FlaskClient, name: str = DEVICE) -> str:
    cookie = browser.get_cookie(name, domain=HOST)
    return cookie.value if cookie else ""


def close(browser: FlaskClient) -> None:
    """Close the browser: its short session is gone."""
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
    """Return whether an ENT's request leads to the sign-in page."""
    response = follow(browser, browser.get(url))
    return response.status_code == 200 and heading(response) == "Connexion"


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


def test_an_ent_that_asks_for_a_fresh_password_has_no_device_session(
    browser: FlaskClient, build: Build, ent: RelyingParty, parent: Account
) -> None:
    """`default_max_age` (Registration 1.0, 2) is the ENT's refusal, for all its requests."""
    library = build.ent("Borne", host="borne.test", default_max_age=3600)
    with time_machine.travel(now(), tick=False) as clock:
        stay(browser, parent)
        close(browser)
        clock.shift(timedelta(hours=2))
        page = follow(browser, browser.get(library.url(Attempt(), login_hint="profil:parent")))
        assert heading(page) == "Connexion"
        assert "Rester connecté" not in page.text
        assert not is_asked(browser, ent.url(Attempt()))


def test_a_passkey_keeps_a_person_signed_in_as_the_password_does(
    app: Flask, browser: FlaskClient, ent: RelyingParty, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        key = owner(app, parent, key_of_parent())
        by_passkey(browser, key)
        assert not cookie_of(browser), "only a person who ticked the box"
        by_passkey(browser, key, rester="1")
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


def test_the_account_asks_for_the_password_again(browser: FlaskClient, parent: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        stay(browser, parent)
        assert heading(browser.get("/mon-compte/sessions")) == "Mes connexions"
        close(browser)
        clock.shift(timedelta(hours=2))
        page = follow(browser, browser.get("/mon-compte"))
        assert heading(page) == "Confirmez que c’est vous"
        assert submit(browser, page, mot_de_passe=PASSWORD).request.path == "/mon-compte"


@pytest.mark.parametrize("is_thief_first", [True, False])
def test_a_copied_secret_ends_the_device_session_and_what_it_opened_once_both_came_back(
    app: Flask,
    browser: FlaskClient,
    ent: RelyingParty,
    parent: Account,
    is_thief_first: bool,  # noqa: FBT001
) -> None:
    entrance = ent.url(Attempt(), login_hint="profil:parent")
    with time_machine.travel(now(), tick=False) as clock:
        copied = stay(browser, parent)
        close(browser)
        clock.shift(timedelta(hours=2))
        thief = app.test_client()
        put(thief, copied)
        assert tokens_for(thief, ent), "nobody knows yet"
        clock.shift(staying.GRACE + timedelta(seconds=1))
        if is_thief_first:
            close(thief)
            assert tokens_for(thief, ent, prompt="none")
        else:
            assert tokens_for(browser, ent, prompt="none"), "the first answer may have been lost"
        assert notices_of("appareil_copie") == 0
        late, early = (browser, thief) if is_thief_first else (thief, browser)
        assert is_asked(late, entrance)
        assert is_asked(early, entrance), "what it opened has ended"
        assert not cookie_of(late)
    assert device().ended_at is not None
    assert journal("device_session.reused") == ["refused"]
    assert notices_of("appareil_copie") == 1
    put(browser, copied)
    assert is_asked(browser, entrance)
    assert notices_of("appareil_copie") == 1


def test_two_tabs_and_a_lost_answer_are_no_theft(browser: FlaskClient, ent: RelyingParty, parent: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        first = stay(browser, parent)
        for pause in (timedelta(), timedelta(seconds=20), timedelta(hours=3), timedelta(days=2)):
            close(browser)
            clock.shift(pause)
            put(browser, first)
            assert tokens_for(browser, ent)
        close(browser)
        clock.shift(timedelta(hours=2))
        assert tokens_for(browser, ent), "the last answer brought a secret that works"
    assert journal("device_session.reused") == []


def test_another_use_closes_the_pages_of_the_former_session_and_leaves_the_ents(
    browser: FlaskClient, build: Build, parent: Account
) -> None:
    ent = build.ent(scopes=OFFLINE)
    stay(browser, parent)
    tokens, opened = tokens_for(browser, ent, scope=OFFLINE), cookie_of(browser, SESSION)
    close(browser)
    browser.get("/mon-compte")
    browser.delete_cookie(DEVICE, domain=HOST)
    browser.set_cookie(SESSION, opened, domain=HOST, secure=True)
    assert follow(browser, browser.get("/mon-compte")).request.path == "/connexion"
    assert ent.refresh(browser, tokens["refresh_token"]).status_code == 200


def test_a_browser_that_comes_back_again_and_again_opens_a_limited_number_of_sessions(
    monkeypatch: pytest.MonkeyPatch, browser: FlaskClient, parent: Account
) -> None:
    monkeypatch.setattr(limits, "DEVICE_ROTATIONS", limits.Budget("few", (limits.Window(3, timedelta(hours=1)),)))
    with time_machine.travel(now(), tick=False) as clock:
        stay(browser, parent)
        for _ in range(6):
            close(browser)
            browser.get("/mon-compte")
        assert db.session.scalar(select(func.count()).select_from(Session)) == 4
        assert journal("device_session.changed").count("used") == 3
        clock.shift(timedelta(hours=1, seconds=1))
        browser.get("/mon-compte")
        assert cookie_of(browser, SESSION), "the cookie still works"


def test_an_eleventh_device_ends_the_oldest(app: Flask, browser: FlaskClient, parent: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        stay(browser, parent)
        first = device()
        values = {column.name: getattr(first, column.name) for column in DeviceSession.__table__.columns}
        moment = now()
        for number in range(1, staying.MOST):
            own = {"id": uuid.uuid4(), "digest": bytes([number]) * 32, "sid": str(number), "created_at": moment}
            db.session.execute(insert(DeviceSession).values(values | own))
        db.session.commit()
        clock.shift(timedelta(minutes=1))
        other = app.test_client()
        stay(other, parent)
        ended = db.session.scalars(select(DeviceSession).where(DeviceSession.ended_at.is_not(None))).all()
        assert len(ended) == 1
        assert other.get("/mon-compte/sessions").text.count("Cet appareil reste connecté jusqu’au") == staying.MOST


def test_the_list_of_a_thousand_sessions_reads_a_hundred(browser: FlaskClient, parent: Account) -> None:
    stay(browser, parent)
    first = db.session.scalars(select(Session)).one()
    values = {column.name: getattr(first, column.name) for column in Session.__table__.columns}
    own = ({"id": uuid.uuid4(), "digest": number.to_bytes(32), "sid": str(number)} for number in range(1000))
    db.session.execute(insert(Session), [values | {"last_seen_at": first.last_seen_at - GONE} | row for row in own])
    db.session.commit()
    page = browser.get("/mon-compte/sessions")
    assert page.text.count('name="connexion"') == 99
    assert "cet appareil" in page.text


def test_a_sign_out_ends_all_that_the_browser_opened(app: Flask, browser: FlaskClient, build: Build) -> None:
    parent, ent = build.active(), build.ent(scopes=OFFLINE)
    with time_machine.travel(now(), tick=False) as clock:
        copied = stay(browser, parent)
        yesterday = tokens_for(browser, ent, scope=OFFLINE)
        close(browser)
        clock.shift(timedelta(days=1))
        thief = app.test_client()
        put(thief, cookie_of(browser) or copied)
        assert tokens_for(thief, ent)
        today = tokens_for(browser, ent, scope=OFFLINE)
        browser.get(f"/logout?id_token_hint={today['id_token']}")
        assert ent.refresh(browser, yesterday["refresh_token"]).status_code == 400
        assert is_asked(thief, ent.url(Attempt(), login_hint="profil:parent"))


def test_ending_the_other_devices_ends_a_copy_of_this_one(
    app: Flask, browser: FlaskClient, ent: RelyingParty, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        stay(browser, parent)
        copied = cookie_of(browser)
        thief = app.test_client()
        put(thief, copied)
        thief.get("/mon-compte", headers={"User-Agent": "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0"})
        page = browser.get("/mon-compte/sessions")
        if page.status_code == 303:
            page = submit(browser, follow(browser, browser.get("/mon-compte")), mot_de_passe=PASSWORD)
            page = browser.get("/mon-compte/sessions")
        browser.post("/mon-compte/sessions", data={"csrf_token": form_token(page), "toutes": "1"})
        assert is_asked(thief, ent.url(Attempt(), login_hint="profil:parent"))
        put(thief, copied)
        assert is_asked(thief, ent.url(Attempt(), login_hint="profil:parent"))
        assert cookie_of(browser) not in {"", copied}
        close(browser)
        clock.shift(timedelta(days=1))
        assert tokens_for(browser, ent, prompt="none"), "the reader's own browser stays"
    assert notices_of("appareil_copie") == 0


def test_what_was_opened_elsewhere_under_the_same_device_is_told(browser: FlaskClient, parent: Account) -> None:
    stay(browser, parent)
    own = db.session.scalars(select(Session)).one()
    values = {column.name: getattr(own, column.name) for column in Session.__table__.columns}
    elsewhere = {"id": uuid.uuid4(), "digest": b"x" * 32, "ip": "82.64.17.9", "user_agent": "Windows NT 10.0 Firefox/1"}
    db.session.execute(insert(Session).values(values | elsewhere))
    db.session.commit()
    page = browser.get("/mon-compte/sessions").text
    assert "Ouvert aussi depuis : Ordinateur Windows, autre connexion internet (82.64.•.•)." in page
    assert page.count("Ouvert aussi depuis") == 1
    assert "Déconnecter tous les autres appareils" in page


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


@pytest.mark.parametrize("value", ["x", "a.b.c", "W10.aaaa.bbbb", "é", "z" * 3000])
def test_a_cookie_that_is_not_ours_is_nothing(browser: FlaskClient, ent: RelyingParty, value: str) -> None:
    put(browser, value)
    assert is_asked(browser, ent.url(Attempt(), login_hint="profil:parent"))


@pytest.mark.parametrize("ending", ["generation", "suspended", "disabled"])
def test_an_account_that_changed_ends_it(browser: FlaskClient, ent: RelyingParty, parent: Account, ending: str) -> None:
    stay(browser, parent)
    close(browser)
    changes: dict[str, dict[str, object]] = {
        "generation": {"generation": Account.generation + 1},
        "suspended": {"suspended_at": now()},
        "disabled": {"disabled_at": now()},
    }
    db.session.execute(update(Account).where(Account.id == parent.id).values(**changes[ending]))
    db.session.commit()
    assert is_asked(browser, ent.url(Attempt(), login_hint="profil:parent"))
    assert not cookie_of(browser)
    assert journal("device_session.reused") == []


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


def test_the_purge_removes_it_a_week_after_its_end(app: Flask, browser: FlaskClient, parent: Account) -> None:
    stay(browser, parent)
    for days, count in ((36, 0), (38, 1)):
        done = purge._sessions(services_of(app).settings, now() + timedelta(days=days))
        assert done["device_sessions"] == count


@pytest.mark.both_databases
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
