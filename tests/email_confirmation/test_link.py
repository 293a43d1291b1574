"""E rows about the link: what opening it does, what using it does, and what a wrong one does."""

import logging
import uuid
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from structlog.testing import capture_logs

from idp.accounts.models import Account
from idp.accounts.one_time_links import Purpose
from idp.clock import now
from idp.db import db, unit_of_work
from idp.sessions import manager
from idp.throttle import limits
from tests.activation.steps import CHOSEN, activate, newest_link, read_state
from tests.builders import PASSWORD, Build
from tests.pages import follow, form_token, heading, sign_in, submit
from tests.relying_party import Attempt, RelyingParty

ASKS = "Confirmez votre adresse mail"
CONFIRMED = "Confirmation de votre adresse mail"
DEAD = "Ce lien ne marche plus"


@pytest.mark.row("E-01")
def test_opening_the_link_does_not_use_it(app: Flask, browser: FlaskClient, build: Build, newcomer: Account) -> None:
    activate(browser, newcomer)
    link = newest_link(build.settings, newcomer.id)
    before = read_state(newcomer.id)
    scanner = app.test_client()
    for _ in range(10):
        assert heading(scanner.get(link)) == ASKS
    assert scanner.head(link).status_code == 200
    for headers in ({"Sec-Purpose": "prefetch"}, {"Purpose": "prefetch"}, {"User-Agent": "MailScanner/1.0"}):
        assert heading(app.test_client().get(link, headers=headers)) == ASKS
    assert app.test_client().post(link).status_code == 400, "a scanner that sends forms has no form token"
    assert read_state(newcomer.id) == before
    assert heading(submit(browser, browser.get(link))) == CONFIRMED
    assert read_state(newcomer.id).email == "noemie@exemple.fr"


@pytest.mark.row("V-11")
def test_the_password_is_asked_where_nobody_proved_it(
    app: Flask, browser: FlaskClient, build: Build, newcomer: Account
) -> None:
    activate(browser, newcomer)
    link, field = newest_link(build.settings, newcomer.id), 'autocomplete="current-password"'
    assert field not in browser.get(link).text
    assert field in app.test_client().get(link).text
    library = app.test_client()
    sign_in(library, "/connexion", newcomer.username, CHOSEN)
    assert field not in library.get(link).text
    assert field in browser.get(link).text, "the person continued elsewhere, and this browser waits for nothing"


@pytest.mark.row("E-03")
def test_a_damaged_link_gets_a_text_that_its_form_alone_decides_and_the_right_link_still_works(
    browser: FlaskClient, build: Build, newcomer: Account
) -> None:
    activate(browser, newcomer)
    link = newest_link(build.settings, newcomer.id)
    head, _, token = link.rpartition("/")
    cut = (token[:-1], token[:20] + "=" + token[20:], token * 50, token[:-1] + "%00", "%20" + token)
    whole = (token.upper(), "A" * 43, Purpose.CONFIRM_EMAIL.value.ljust(43, "x"))
    data = {"csrf_token": form_token(browser.get("/connexion"))}
    for broken in (*cut, *whole):
        text = "Ce lien est incomplet" if broken in cut else DEAD
        page = browser.get(f"{head}/{broken}")
        assert (page.status_code, heading(page)) == (410, text), broken
        assert ('<a class="btn" href="/mon-ent">Trouver mon ENT</a>' in page.text) == (broken in cut), broken
        answer = browser.post(page.request.path, data=data)
        assert (answer.status_code, heading(answer)) == (410, text), broken
    assert read_state(newcomer.id).email is None
    assert heading(submit(browser, browser.get(link))) == CONFIRMED


@pytest.mark.row("E-03")
def test_expired_disabled_and_never_issued_links_show_the_same_text(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    expired, disabled = build.never_activated(), build.never_activated()
    stranger = app.test_client()
    with time_machine.travel(now(), tick=False) as clock:
        links = []
        for account in (expired, disabled):
            activate(browser, account, mail=f"{account.username}@exemple.fr")
            links.append(newest_link(build.settings, account.id))
        question = stranger.get(links[0])
        clock.shift(timedelta(hours=24) - timedelta(seconds=1))
        assert heading(stranger.get(links[0])) == ASKS
        clock.shift(timedelta(seconds=1))
        assert question.status_code == 200
        _disable(disabled.id)
        texts = set()
        for link in (*links, "/adresse/lien/" + "A" * 43):
            page = stranger.get(link)
            assert (page.status_code, heading(page)) == (410, DEAD)
            posted = submit(stranger, page)
            assert (posted.status_code, heading(posted)) == (410, DEAD)
            texts.add(page.text.replace(form_token(page), ""))
            texts.add(posted.text.replace(form_token(posted), ""))
        assert len(texts) == 1
    assert read_state(expired.id).email is None
    assert read_state(disabled.id).email is None


def _disable(account_id: uuid.UUID) -> None:
    db.session.get_one(Account, account_id).disabled_at = now()
    db.session.commit()


@pytest.mark.row("E-03")
def test_guesses_at_links_are_rate_limited(browser: FlaskClient, build: Build, newcomer: Account) -> None:
    activate(browser, newcomer)
    link = newest_link(build.settings, newcomer.id)
    [window] = limits.BAD_LINK_IP.windows
    page = browser.get("/adresse/lien/" + "A" * 43)
    for n in range(window.tries - 1):
        if n % 2:
            assert browser.get(f"/adresse/lien/{n:043}").status_code == 410
        else:
            assert submit(browser, page, renvoyer="1").status_code == 200
    stopped = browser.get("/adresse/lien/" + "B" * 43)
    assert stopped.status_code == 429
    assert 0 < int(stopped.headers["Retry-After"]) <= 3600
    assert heading(stopped) == "Un peu de patience"
    assert heading(browser.get(link)) == ASKS, "a right link is no try"


@pytest.mark.row("E-04")
def test_links_of_former_addresses_are_refused(browser: FlaskClient, build: Build, newcomer: Account) -> None:
    links = []
    with time_machine.travel(now(), tick=False) as clock:
        waiting = activate(browser, newcomer, mail="premiere@exemple.fr")
        links.append(newest_link(build.settings, newcomer.id))
        for email in ("deuxieme@exemple.fr", "troisieme@exemple.fr"):
            clock.shift(timedelta(seconds=61))
            page = browser.get(waiting.request.full_path.replace("/confirmation", "/modifier"))
            assert email in submit(browser, page, mail=email, mot_de_passe=CHOSEN).text
            links.append(newest_link(build.settings, newcomer.id))
        for dead in links[:2]:
            assert heading(browser.get(dead)) == DEAD
            assert heading(submit(browser, browser.get(dead))) == DEAD
        assert read_state(newcomer.id).email is None
        assert heading(submit(browser, browser.get(links[2]))) == CONFIRMED
    assert read_state(newcomer.id).email == "troisieme@exemple.fr"


@pytest.mark.row("E-06")
def test_a_strangers_click_confirms_nothing(app: Flask, browser: FlaskClient, build: Build) -> None:
    # The attacker gives the victim's address as his own; the victim clicks by mistake.
    victim = build.active(email="victime@exemple.fr")
    attacker = build.never_activated()
    activate(browser, attacker, mail="victime@exemple.fr")
    before = read_state(victim.id), read_state(attacker.id)
    clicking = app.test_client()
    question = clicking.get(newest_link(build.settings, attacker.id))
    assert "Confirmez seulement si vous l’avez demandé." in question.text
    submit(clicking, question)
    submit(clicking, question, mot_de_passe=PASSWORD)
    assert (read_state(victim.id), read_state(attacker.id)) == before


@pytest.mark.row("E-07")
def test_two_parents_confirm_one_mailbox(browser: FlaskClient, build: Build, app: Flask) -> None:
    malo = build.child()
    parents = [build.never_activated(children=[malo]) for _ in range(2)]
    for parent in parents:
        activate(app.test_client(), parent, mail="Famille.Leroy@exemple.fr")
        link = newest_link(build.settings, parent.id)
        assert heading(submit(browser, browser.get(link), mot_de_passe=CHOSEN)) == CONFIRMED
    for parent in parents:
        assert read_state(parent.id).email == "Famille.Leroy@exemple.fr"
        fresh = app.test_client()
        assert heading(sign_in(fresh, "/connexion", parent.username, CHOSEN)) == "Gérer mon compte"


@pytest.mark.row("E-08")
def test_the_claim_appears_once_the_address_is_confirmed(
    browser: FlaskClient, build: Build, ent: RelyingParty, newcomer: Account
) -> None:
    activate(browser, newcomer)
    sign_in(browser, ent.url(Attempt()), newcomer.username, CHOSEN)
    submit(browser, browser.get(newest_link(build.settings, newcomer.id)))
    attempt = Attempt()
    tokens = ent.tokens(browser, ent.answer(follow(browser, browser.get(ent.url(attempt))))["code"], attempt)
    info = ent.userinfo(browser, tokens["access_token"]).get_json()
    assert (info["email"], info["email_verified"]) == ("noemie@exemple.fr", True)
    assert "email" not in tokens["claims"]


@pytest.mark.row("E-09")
def test_the_page_of_the_link_does_not_leak_its_url(
    app: Flask, browser: FlaskClient, build: Build, caplog: pytest.LogCaptureFixture, newcomer: Account
) -> None:
    activate(browser, newcomer)
    link = newest_link(build.settings, newcomer.id)
    with capture_logs() as lines, caplog.at_level(logging.DEBUG):
        page = app.test_client().get(link)
        submit(browser, browser.get(link))
        browser.get(link[:-1])
    assert link.rpartition("/")[2][:-1] not in caplog.text + str(lines)
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert link.rpartition("/")[2] not in page.text, "forms go back to the page's own address"


HERE = "Confirmer ici"


@pytest.mark.row("V-23")
@pytest.mark.parametrize("here", [False, True])
def test_the_person_chooses_on_which_of_two_devices_to_continue(
    app: Flask, browser: FlaskClient, build: Build, newcomer: Account, *, here: bool
) -> None:
    waiting = activate(browser, newcomer)
    link, phone = newest_link(build.settings, newcomer.id), app.test_client()
    assert HERE not in browser.get(link).text
    page = phone.get(link)
    assert HERE in page.text
    done = submit(phone, page, mot_de_passe=CHOSEN, **({"ici": "1"} if here else {}))
    assert heading(done) == CONFIRMED
    follow(browser, browser.get(waiting.request.full_path))
    sessions = [device.get_cookie("__Host-ss", domain="connexion.exemple.test") for device in (browser, phone)]
    assert [session is not None for session in sessions] == [not here, here]
    assert ("Vous êtes connecté" in done.text) is here
    assert read_state(newcomer.id).sessions == 1


@pytest.mark.parametrize("here", [False, True])
@pytest.mark.parametrize("opened_in", ["a third browser", "the browser that activated"])
def test_the_link_says_that_a_browser_of_a_later_sign_in_is_connected(
    app: Flask, browser: FlaskClient, build: Build, opened_in: str, newcomer: Account, *, here: bool
) -> None:
    # The parent chose the password in one browser, and typed it in another one, for example of a library.
    activate(browser, newcomer)
    library = app.test_client()
    sign_in(library, "/connexion", newcomer.username, CHOSEN)
    link = newest_link(build.settings, newcomer.id)
    assert HERE not in library.get(link).text
    opening = browser if opened_in == "the browser that activated" else app.test_client()
    page = opening.get(link)
    assert HERE in page.text
    assert heading(submit(opening, page, mot_de_passe=CHOSEN, **({"ici": "1"} if here else {}))) == CONFIRMED
    entered = heading(follow(library, library.get("/mon-compte")))
    assert entered == ("Connexion" if here else "Gérer mon compte")


def test_the_browser_that_uses_the_link_keeps_its_session_when_the_other_one_is_left(
    app: Flask, browser: FlaskClient, build: Build, newcomer: Account
) -> None:
    activate(browser, newcomer)
    library, phone = app.test_client(), app.test_client()
    for device in (library, phone):
        sign_in(device, "/connexion", newcomer.username, CHOSEN)
    page = phone.get(newest_link(build.settings, newcomer.id))
    assert HERE in page.text
    assert "Vous êtes connecté" in submit(phone, page, ici="1").text
    assert heading(follow(phone, phone.get("/mon-compte"))) == "Gérer mon compte"
    assert heading(follow(library, library.get("/mon-compte"))) == "Connexion"


def test_nobodys_session_is_replaced_on_the_device_of_the_link(app: Flask, browser: FlaskClient, build: Build) -> None:
    account, other, phone = build.never_activated(), build.active(), app.test_client()
    activate(browser, account)
    sign_in(phone, "/connexion", other.username, PASSWORD)
    page = submit(phone, phone.get(newest_link(build.settings, account.id)), mot_de_passe=CHOSEN, ici="1")
    assert heading(page) == CONFIRMED
    assert read_state(account.id).sessions == 0
    assert heading(phone.get("/mon-compte")) == "Gérer mon compte"


def test_sessions_ended_by_an_operator_end_the_wait_of_an_activation(
    app: Flask, browser: FlaskClient, build: Build, newcomer: Account
) -> None:
    waiting = activate(browser, newcomer)
    with unit_of_work():
        manager.end_all(newcomer.id, by="operator")
    phone = app.test_client()
    page = phone.get(newest_link(build.settings, newcomer.id))
    assert HERE not in page.text
    submit(phone, page, mot_de_passe=CHOSEN)
    follow(browser, browser.get(waiting.request.full_path))
    assert browser.get_cookie("__Host-ss", domain="connexion.exemple.test") is None
