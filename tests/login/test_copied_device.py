"""A device session whose cookie was copied or is used without end: what notices, limits and ends it (row I-25)."""

import uuid
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, insert, select

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from idp.sessions import staying
from idp.sessions.models import DeviceSession, Session
from idp.throttle import limits
from tests.builders import PASSWORD, Build, commit
from tests.login.test_staying import (
    DEVICE,
    HOST,
    SESSION,
    close,
    cookie_of,
    device,
    is_asked,
    journal,
    notices_of,
    put,
    stay,
)
from tests.pages import follow, form_token, submit
from tests.protocol.flow import OFFLINE, tokens_for
from tests.relying_party import Attempt, RelyingParty

GONE = timedelta(minutes=1)
pytestmark = pytest.mark.row("I-25")


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
        assert 'name="toutes"' in page.text, "the copy opened no session yet and is not listed"
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
    commit(insert(Session).values(values | elsewhere))
    page = browser.get("/mon-compte/sessions").text
    assert "Ouvert aussi depuis : Ordinateur Windows, autre connexion internet (82.64.•.•)." in page
    assert page.count("Ouvert aussi depuis") == 1
    assert "Déconnecter tous les autres appareils" in page
