"""M-01 to M-04 and I-09: who may change the password, the policy, and the end of sessions."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp import opaque
from idp.accounts import one_time_links
from idp.accounts.models import Account
from idp.accounts.one_time_links import Purpose
from idp.accounts.passwords.hasher import HasherBusyError
from idp.clock import now
from idp.db import db
from idp.outbox.queue import OutboxMessage
from idp.services import services_of
from idp.sessions.ending import SESSIONS_ENDED
from idp.sessions.models import Session
from tests.activation.race import HOST
from tests.builders import PASSWORD, PROVISIONAL, Build
from tests.my_account.changes import (
    ACCOUNT,
    CHOSEN,
    NEW,
    OLD,
    PASSWORD_PAGE,
    PASSWORD_TITLE,
    at_once,
    change_email,
    change_password,
    enter,
    errors,
    form,
    is_password,
    journal,
    links,
    path_of,
    read_notices,
    reload_account,
)
from tests.pages import cookie_value, follow, form_token, heading, sign_in, submit
from tests.relying_party import Attempt

_WRONG = "Ce n’est pas votre mot de passe actuel."


@pytest.mark.row("M-01")
@pytest.mark.parametrize("current", ["", "faux, complètement", PASSWORD + " ", PROVISIONAL, CHOSEN[:-1]])
def test_the_present_password_is_asked_for_however_long_ago_the_sign_in_was(
    browser: FlaskClient, build: Build, current: str, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        enter(browser, parent)
        clock.shift(timedelta(minutes=20))
        page = change_password(browser, current=current)
        assert heading(page) == PASSWORD_TITLE
        assert errors(page) == [_WRONG if current else "Tapez votre mot de passe actuel."]
        assert "<title>Erreur" in page.text
        assert CHOSEN not in page.text
        assert is_password(build, reload_account(parent).password_hash, PASSWORD)
        assert read_notices(parent) == []
        assert heading(change_password(browser)) == ACCOUNT
    assert is_password(build, reload_account(parent).password_hash, CHOSEN)


@pytest.mark.row("M-02")
def test_this_browser_gets_a_new_session_id_and_all_others_are_signed_out(
    app: Flask, browser: FlaskClient, parent: Account
) -> None:
    enter(browser, parent)
    others = [enter(app.test_client(), parent) for _ in range(2)]
    before = cookie_value(browser)
    [sid] = db.session.scalars(select(Session.sid).where(Session.digest == opaque.digest(before)))
    page = change_password(browser)
    assert heading(page) == ACCOUNT
    assert "Votre mot de passe est changé." in page.text
    assert cookie_value(browser) != before
    [row] = db.session.scalars(select(Session).where(Session.account_id == parent.id, Session.ended_at.is_(None)))
    assert (row.sid, row.digest) == (sid, opaque.digest(cookie_value(browser)))
    for other in others:
        assert heading(follow(other, other.get("/mon-compte"))) == "Connexion"
    thief = app.test_client()
    thief.set_cookie("__Host-ss", before, domain=HOST, secure=True)
    assert thief.get("/mon-compte").headers["Location"] == "/connexion"
    assert read_notices(parent) == [("mot_de_passe_change", "")]
    assert len(journal(parent, "password.changed")) == 1
    fresh = app.test_client()
    assert heading(sign_in(fresh, "/connexion", parent.username, PASSWORD)) == "Connexion"
    assert heading(sign_in(fresh, "/connexion", parent.username, CHOSEN)) == ACCOUNT


@pytest.mark.row("M-02")
def test_the_ents_are_notified_of_the_ended_sessions_alone(app: Flask, browser: FlaskClient, parent: Account) -> None:
    enter(browser, parent)
    other = enter(app.test_client(), parent)
    [ended] = db.session.scalars(select(Session.id).where(Session.digest == opaque.digest(cookie_value(other))))
    change_password(browser)
    payloads = db.session.scalars(select(OutboxMessage.payload).where(OutboxMessage.kind == SESSIONS_ENDED)).all()
    assert [payload["sessions"] for payload in payloads] == [[str(ended)]]
    assert [entry["by"] for entry in journal(parent, "sessions.ended")] == ["password_changed"]


@pytest.mark.row("M-02")
def test_former_refresh_tokens_and_codes_are_revoked(app: Flask, browser: FlaskClient, build: Build) -> None:
    account, ent = build.active(), build.ent(scopes="openid profile offline_access")
    refresh = []
    for client in (browser, app.test_client()):
        enter(client, account)
        attempt = Attempt()
        code = ent.answer(follow(client, client.get(ent.url(attempt, scope="openid offline_access"))))["code"]
        refresh.append(ent.tokens(client, code, attempt)["refresh_token"])
    pending = Attempt()
    code = ent.answer(follow(browser, browser.get(ent.url(pending, scope="openid", prompt="none"))))["code"]
    assert heading(change_password(browser)) == ACCOUNT
    for token in refresh:
        answer = ent.refresh(browser, token)
        assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_grant")
    assert ent.exchange(browser, code, pending).get_json()["error"] == "invalid_grant"
    again = Attempt()
    code = ent.answer(follow(browser, browser.get(ent.url(again, scope="openid", prompt="none"))))["code"]
    assert ent.tokens(browser, code, again)["claims"]["sub"]


@pytest.mark.row("M-02")
def test_pending_reset_links_and_changes_of_address_are_revoked(
    app: Flask, browser: FlaskClient, build: Build, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        enter(browser, parent)
        change_email(browser)
        [change] = links(parent, Purpose.CHANGE_EMAIL)
        reset = one_time_links.issue(
            build.settings, Purpose.RESET_PASSWORD, parent, email=OLD, lifetime=timedelta(minutes=30)
        )
        db.session.commit()
        assert "Changer le mot de passe annule cette demande" in browser.get(PASSWORD_PAGE).text
        change_password(browser)
        clock.shift(timedelta(minutes=2))
        assert reload_account(parent).pending_email is None
        assert [one_time_links.is_alive(link) for link in (reset, change)] == [False, False]
        stranger = app.test_client()
        dead = stranger.get(path_of(build.settings, change))
        assert dead.status_code == 410
        submit(stranger, dead, renvoyer="1")
        assert len(links(parent, Purpose.CHANGE_EMAIL)) == 1, "who knew the former password gets no new link"
        assert [one_time_links.is_alive(link) for link in links(parent, Purpose.CONTEST_EMAIL)] == [True]


@pytest.mark.row("M-03")
@pytest.mark.parametrize(
    ("new", "reason"),
    [
        ("girafe {username} wagon", "Ce mot de passe contient votre identifiant."),
        ("girafe wagon vandepútte", "Ce mot de passe contient votre nom ou votre prénom."),
        ("girafe wagon MALO brique", "Ce mot de passe contient le prénom de votre enfant."),
        (PASSWORD, "C’est le même que votre mot de passe actuel."),
    ],
)
def test_a_password_that_others_could_guess_is_refused_with_its_reason(
    browser: FlaskClient, build: Build, new: str, reason: str, parent: Account
) -> None:
    enter(browser, parent)
    page = change_password(browser, new=new.format(username=parent.username))
    assert heading(page) == PASSWORD_TITLE
    [error] = errors(page)
    assert error.startswith(reason), error
    assert is_password(build, reload_account(parent).password_hash, PASSWORD)


@pytest.mark.row("M-03")
def test_a_refused_form_costs_no_try_and_reports_two_different_passwords(browser: FlaskClient, parent: Account) -> None:
    enter(browser, parent)
    for _ in range(8):
        page = change_password(browser, current="faux", again="autre chose")
        assert page.status_code == 200
        assert errors(page)[0].startswith("Les deux mots de passe ne sont pas les mêmes.")
    assert heading(change_password(browser)) == ACCOUNT
    assert journal(parent, "sign_in") == journal(parent, "sign_in")[:1]


@pytest.mark.row("I-09")
def test_wrong_passwords_here_count_with_those_of_the_sign_in(
    app: Flask, browser: FlaskClient, build: Build, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        enter(browser, parent)
        browser.delete_cookie("__Host-dv", domain=HOST)
        for _ in range(3):
            assert errors(change_password(browser, current="faux")) == [_WRONG]
        stranger = app.test_client()
        for _ in range(2):
            assert sign_in(stranger, "/connexion", parent.username, "faux").status_code == 200
        held = change_password(browser)
        assert (held.status_code, held.headers["Retry-After"]) == (429, "5")
        assert "Nouvel essai dans 5 secondes." in held.text
        assert sign_in(stranger, "/connexion", parent.username, PASSWORD).status_code == 429
        assert is_password(build, reload_account(parent).password_hash, PASSWORD)
        clock.shift(timedelta(seconds=5))
        assert heading(change_password(browser)) == ACCOUNT
    assert {entry["door"] for entry in journal(parent, "sign_in") if "door" in entry} == {
        "sign_in",
        "reauthentication",
    }


@pytest.mark.row("M-02")
def test_an_account_without_any_address_changes_its_password_too(browser: FlaskClient, build: Build) -> None:
    account = build.active(email=None)
    enter(browser, account)
    assert heading(change_password(browser)) == ACCOUNT
    assert reload_account(account).email is None
    assert NEW not in browser.get("/mon-compte").text


@pytest.mark.row("M-03")
def test_all_faults_of_a_form_are_reported_together(browser: FlaskClient, parent: Account) -> None:
    enter(browser, parent)
    both = ["Il faut 12 caractères au moins.", "Les deux mots de passe ne sont pas les mêmes."]
    for current, messages in (("", ["Tapez votre mot de passe actuel.", *both]), ("faux", both)):
        page = change_password(browser, current=current, new="court", again="autre")
        assert [error[: len(start)] for error, start in zip(errors(page), messages, strict=True)] == messages
    [same, again] = errors(change_password(browser, new=PASSWORD, again="autre"))
    assert same.startswith("C’est le même que votre mot de passe actuel.")
    assert again.startswith(both[1])


@pytest.mark.row("Z-03")
def test_the_second_of_two_clicks_sees_the_result_of_the_first(
    app: Flask, browser: FlaskClient, parent: Account
) -> None:
    enter(browser, parent)
    page = browser.get(PASSWORD_PAGE)
    data = {"csrf_token": form_token(page), "actuel": PASSWORD, "nouveau": CHOSEN, "confirmation": CHOSEN}
    impatient = app.test_client()
    for name in ("__Host-ss", "__Host-tx", "__Host-dv"):
        impatient.set_cookie(name, cookie_value(browser, name), domain=HOST, secure=True)
    assert browser.post(PASSWORD_PAGE, data=data).headers["Location"] == "/mon-compte?fait=mot-de-passe"
    second = impatient.post(PASSWORD_PAGE, data=data)
    assert second.headers["Location"] == "/mon-compte?fait=mot-de-passe"
    assert heading(follow(impatient, second)) == ACCOUNT
    assert len(journal(parent, "password.changed")) == 1


@pytest.mark.row("Z-03")
def test_the_former_cookie_is_refused_without_the_new_password(
    app: Flask, browser: FlaskClient, parent: Account
) -> None:
    enter(browser, parent)
    thief = app.test_client()
    page = browser.get(PASSWORD_PAGE)
    for name in ("__Host-ss", "__Host-tx"):
        thief.set_cookie(name, cookie_value(browser, name), domain=HOST, secure=True)
    change_password(browser)
    data = {"csrf_token": form_token(page), "actuel": PASSWORD, "confirmation": "x"}
    for guess in ("", PASSWORD, "un autre, pris au hasard"):
        assert thief.post(PASSWORD_PAGE, data={**data, "nouveau": guess}).headers["Location"] == "/connexion"
    assert thief.get("/mon-compte").headers["Location"] == "/connexion"
    assert heading(browser.get("/mon-compte")) == ACCOUNT


@pytest.mark.row("Z-03")
def test_concurrent_changes_succeed_once_and_keep_one_browser_signed_in(
    app: Flask, build: Build, parent: Account
) -> None:
    forms: list[dict[str, Any]] = []
    for n in range(6):
        browser = enter(app.test_client(), parent)
        chosen = f"orage brique hamster {n} violon"
        page = browser.get(PASSWORD_PAGE)
        forms.append(form(browser, page, actuel=PASSWORD, nouveau=chosen, confirmation=chosen))
    answers = at_once(build.settings, forms)
    assert all(answer["status"] in {200, 303, 429} for answer in answers)
    assert [a["location"] for a in answers].count("/mon-compte?fait=mot-de-passe") == 1
    row = reload_account(parent)
    assert row.generation == 2
    assert sum(is_password(build, row.password_hash, order["data"]["nouveau"]) for order in forms) == 1
    alive = db.session.scalars(select(Session.id).where(Session.account_id == parent.id, Session.ended_at.is_(None)))
    assert len(alive.all()) == 1
    assert read_notices(parent) == [("mot_de_passe_change", "")]


@pytest.mark.row("W-03")
def test_busy_hasher_changes_nothing_and_refunds_the_try(
    app: Flask, browser: FlaskClient, build: Build, monkeypatch: pytest.MonkeyPatch, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False):
        enter(browser, parent)

        def no_turn(_password: str, _lane: str) -> str:
            raise HasherBusyError

        with monkeypatch.context() as crowded:
            crowded.setattr(services_of(app).hasher, "hash", no_turn)
            page = browser.get(PASSWORD_PAGE)
            for _ in range(8):
                answer = submit(browser, page, actuel=PASSWORD, nouveau=CHOSEN, confirmation=CHOSEN)
                assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert is_password(build, reload_account(parent).password_hash, PASSWORD)
        assert heading(change_password(browser)) == ACCOUNT


@pytest.mark.row("M-07")
def test_a_session_that_is_ended_while_the_hash_is_computed_changes_nothing(
    app: Flask, browser: FlaskClient, build: Build, monkeypatch: pytest.MonkeyPatch, parent: Account
) -> None:
    enter(browser, parent)
    hasher = services_of(app).hasher
    verify, key = hasher.verify, parent.id

    def put_out_meanwhile(password_hash: str | None, password: str, lane: Any) -> bool:
        _end_sessions(key)
        return verify(password_hash, password, lane)

    monkeypatch.setattr(hasher, "verify", put_out_meanwhile)
    assert heading(change_password(browser)) == "Connexion"
    assert is_password(build, reload_account(parent).password_hash, PASSWORD)
    assert read_notices(parent) == []


def _end_sessions(account_id: uuid.UUID) -> None:
    with db.engine.begin() as connection:
        connection.execute(
            Session.__table__.update().where(Session.account_id == account_id).values(ended_at=now())  # type: ignore[attr-defined]
        )
