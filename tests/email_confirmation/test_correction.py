"""A shared computer: correcting the first email needs the password, and the browser's history gives no access."""

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.accounts.notices import NOTICE, Notice
from idp.clock import now
from idp.db import db
from idp.throttle import guard, limits
from tests.activation.race import HOST
from tests.activation.steps import (
    CHOSEN,
    CONTINUED,
    DEAD_LETTER,
    EMAIL,
    LOST,
    SENT,
    activate,
    newest_code,
    newest_link,
    read_state,
)
from tests.builders import PASSWORD, PROVISIONAL, Build
from tests.email_confirmation.post import html_of, post_office, text_of
from tests.pages import follow, form_token, heading, sign_in, submit
from tests.recovery.steps import outbox
from tests.relying_party import Attempt, RelyingParty

pytestmark = pytest.mark.row("V-21")

_FORM = "Modifiez votre adresse mail"
_CONFIRMED = "Confirmation de votre adresse mail"
_THEIRS = "voleur@exemple.fr"


def _correction(waiting: TestResponse) -> str:
    return waiting.request.full_path.replace("/confirmation", "/modifier")


@pytest.mark.parametrize("typed", ["", "faux", PROVISIONAL, f"{CHOSEN} "])
def test_an_address_in_the_history_names_no_mailbox_without_the_password(
    browser: FlaskClient, typed: str, newcomer: Account
) -> None:
    place = _correction(activate(browser, newcomer))
    page = submit(browser, browser.get(place), mail=_THEIRS, mot_de_passe=typed)
    assert (page.status_code, heading(page)) == (200, _FORM)
    assert f'value="{_THEIRS}"' in page.text, "what was typed is kept"
    after = read_state(newcomer.id)
    assert (after.pending, after.links) == (EMAIL, 1)
    assert outbox(NOTICE) == []


def test_the_chosen_password_corrects_the_address_and_the_abandoned_mailbox_is_notified(
    app: Flask, browser: FlaskClient, build: Build, newcomer: Account
) -> None:
    place = _correction(activate(browser, newcomer, mail="noemei@exemple.fr"))
    former = newest_link(build.settings, newcomer.id)
    form = browser.get(place)
    assert "Celui que vous avez choisi, pas celui du courrier." in form.text
    assert heading(submit(browser, form, mail=EMAIL, mot_de_passe=CHOSEN)) == SENT
    assert read_state(newcomer.id).pending == EMAIL
    with post_office(app) as office:
        mails = {str(mail["To"]): mail for mail in office.deliver()}
    assert set(mails) == {"noemei@exemple.fr", EMAIL}
    notice = mails["noemei@exemple.fr"]
    assert notice["Subject"] == "Une autre adresse mail a été donnée"
    for text in (text_of(notice), html_of(notice)):
        assert "Tilleuls" not in text, "perhaps a stranger reads it"
        assert "/adresse/" not in text, "no link that gives control"
        assert "/mot-de-passe" not in text
        assert newcomer.username not in text
        assert EMAIL not in text
    assert browser.get(former).status_code == 410, "what the mail says of the former link is true"


def test_the_same_address_in_another_spelling_sends_no_notice(browser: FlaskClient, newcomer: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        place = _correction(activate(browser, newcomer))
        clock.shift(timedelta(seconds=61))
        submit(browser, browser.get(place), mail=EMAIL.title(), mot_de_passe=CHOSEN)
    assert read_state(newcomer.id).links == 2
    assert outbox(NOTICE) == []


def test_an_abandoned_mailbox_is_notified_after_its_links_were_purged(browser: FlaskClient, build: Build) -> None:
    account = build.active(email=None, pending_email="attend@exemple.fr")
    sign_in(browser, "/connexion", account.username, PASSWORD)
    submit(browser, browser.get("/adresse/modifier"), mail=EMAIL, mot_de_passe=PASSWORD)
    [message] = outbox(NOTICE)
    assert message.payload["notice"] == Notice.EMAIL_ABANDONED.value
    assert read_state(account.id).pending == EMAIL


def test_wrong_passwords_of_a_correction_share_the_counter_of_the_account(
    app: Flask, browser: FlaskClient, newcomer: Account
) -> None:
    with time_machine.travel(now(), tick=False):
        place = _correction(activate(browser, newcomer))
        for _ in range(3):
            submit(browser, browser.get(place), mail=_THEIRS, mot_de_passe="faux")
        for _ in range(3):
            sign_in(app.test_client(), "/connexion", newcomer.username, "faux")
        held = submit(browser, browser.get(place), mail=_THEIRS, mot_de_passe=CHOSEN)
        assert held.status_code == 429
        assert int(held.headers["Retry-After"]) > 0
        assert "Un peu de patience" in held.text
        db.session.rollback()
        assert guard.remaining_wait(limits.SIGN_IN_ACCOUNT, newcomer.username) > 0
    assert read_state(newcomer.id).pending == EMAIL


def _signed_in_elsewhere(app: Flask, account: Account) -> None:
    sign_in(app.test_client(), "/connexion", account.username, CHOSEN)


def _blocked(_app: Flask, account: Account) -> None:
    db.session.get_one(Account, account.id).generation += 1
    db.session.commit()


@pytest.mark.parametrize(
    ("ends", "ended", "of_letter"),
    [
        (_signed_in_elsewhere, (200, CONTINUED), (410, DEAD_LETTER)),
        (_blocked, (400, LOST), (400, LOST)),
    ],
)
def test_the_binding_of_the_browser_ends_with_the_activation(
    app: Flask,
    browser: FlaskClient,
    ends: Callable[[Flask, Account], None],
    ended: tuple[int, str],
    of_letter: tuple[int, str],
    newcomer: Account,
) -> None:
    waiting = activate(browser, newcomer)
    activation = waiting.request.full_path.replace("/adresse/confirmation", "/activation")
    ends(app, newcomer)
    for place, seen in (
        (waiting.request.full_path, ended),
        (_correction(waiting), ended),
        (activation, of_letter),
    ):
        page = follow(browser, browser.get(place))
        assert (page.status_code, heading(page)) == seen, place
        assert EMAIL not in page.text


def test_the_browser_history_is_refused_after_a_sign_out(browser: FlaskClient, newcomer: Account) -> None:
    waiting = activate(browser, newcomer)
    sign_in(browser, "/connexion", newcomer.username, CHOSEN)
    assert heading(browser.get(waiting.request.full_path)) == SENT, "the session is the account's"
    submit(browser, browser.get("/logout"))
    assert heading(browser.get(waiting.request.full_path)) == LOST


def test_the_browser_history_is_refused_after_the_activation_expires(browser: FlaskClient, newcomer: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        waiting = activate(browser, newcomer)
        clock.shift(timedelta(minutes=30))
        page = submit(browser, browser.get(waiting.request.full_path))
        assert heading(page) == SENT, "a parent who waits may have the message sent again"
        clock.shift(timedelta(seconds=1))
        for place in (waiting.request.full_path, _correction(waiting)):
            assert heading(browser.get(place)) == LOST


def test_browser_history_leads_into_the_ent_once_and_never_after_a_sign_out(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty, newcomer: Account
) -> None:
    waiting = activate(browser, newcomer, ent.url(Attempt()))
    phone = app.test_client()
    submit(phone, phone.get(newest_link(build.settings, newcomer.id)), mot_de_passe=CHOSEN)
    assert "code" in ent.answer(follow(browser, browser.get(_correction(waiting))))
    submit(browser, browser.get("/logout"))
    for place in (waiting.request.full_path, _correction(waiting)):
        page = browser.get(place)
        assert heading(page) == _CONFIRMED
        assert not any(word in page.text for word in (EMAIL, newcomer.username, "Noémie", 'name="mail"'))
        assert "Vous êtes connecté" not in page.text
    assert (read_state(newcomer.id).sessions, read_state(newcomer.id).email) == (1, EMAIL)


@pytest.mark.row("V-23")
def test_a_waiting_page_says_that_the_person_continued_on_another_device(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty, newcomer: Account
) -> None:
    attempt = Attempt()
    waiting = activate(browser, newcomer, ent.url(attempt))
    place = waiting.request.full_path.replace("/confirmation?", "/confirmation/etat?")
    sign_in(app.test_client(), "/connexion", newcomer.username, CHOSEN)
    assert browser.get(place).get_json() == {"state": "replaced"}
    data = {"csrf_token": form_token(waiting), "code": newest_code(build.settings, newcomer.id)}
    for page in (browser.get(waiting.request.full_path), browser.post(waiting.request.full_path, data=data)):
        assert (page.status_code, heading(page)) == (200, CONTINUED)
        assert not any(text in page.text for text in (newcomer.username, EMAIL, "LEROY"))
    assert (read_state(newcomer.id).email, browser.get_cookie("__Host-ss", domain=HOST)) == (None, None)
    onward = re.search(r'<a class="btn" href="([^"]+)">Se connecter</a>', page.text)
    assert onward, page.text
    again = sign_in(browser, unescape(onward[1]), newcomer.username, CHOSEN)
    assert heading(again) == SENT
    answer = submit(browser, again, code=newest_code(build.settings, newcomer.id))
    assert '<a class="btn" href="https://ent.test/">' in answer.text
    assert "code" in ent.answer(browser.get(ent.url(Attempt())))
