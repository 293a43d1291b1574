"""The link that replaces a confirmed email, and the correction of a first email on a shared computer."""

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.accounts.notices import NOTICE, Notice
from idp.accounts.one_time_links import Purpose
from idp.clock import now
from idp.db import db
from idp.my_account.email import keep_present
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
from tests.builders import LYCEE, PASSWORD, PROVISIONAL, Build, add_contest, commit
from tests.email_confirmation.post import html_of, link_of, post_office, text_of
from tests.my_account.changes import (
    EMAIL_PAGE,
    NEW,
    OLD,
    change_email,
    enter,
    links,
    path_of,
    read_notices,
    reload_account,
)
from tests.pages import follow, form_token, heading, sign_in, submit
from tests.recovery.steps import outbox
from tests.relying_party import Attempt, RelyingParty

ASKS = "Confirmez votre adresse mail"
CONFIRMED = "Confirmation de votre adresse mail"
DEAD, CUT = "Ce lien ne marche plus", "Ce lien est incomplet"


def _asked(browser: FlaskClient, build: Build, **more: object) -> tuple[Account, str]:
    account = build.active(**more)  # type: ignore[arg-type]
    enter(browser, account)
    change_email(browser)
    [link] = links(account, Purpose.CHANGE_EMAIL)
    return account, path_of(build.settings, link)


@pytest.mark.row("E-02")
def test_a_used_link_shows_its_result(app: Flask, browser: FlaskClient, build: Build) -> None:
    account, link = _asked(browser, build)
    phone = app.test_client()
    question = phone.get(link)
    for _ in range(2):
        done = submit(phone, question, mot_de_passe=PASSWORD)
        assert heading(done) == CONFIRMED
        assert "Votre nouvelle adresse est confirmée." in done.text
    assert "Cette adresse est déjà confirmée." in phone.get(link).text
    assert read_notices(account) == [("adresse_change", OLD), ("adresse_changee", OLD)]


@pytest.mark.row("E-06", "V-11")
def test_a_stranger_with_the_mail_confirms_nothing_and_reads_nothing_of_the_person(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account, link = _asked(browser, build, children=[build.child(), build.child("Inès", uai=LYCEE)])
    phone = app.test_client()
    question = phone.get(link)
    for text in ("Scolarité Services", "Confirmez seulement si vous l’avez demandé.", "Vous avez demandé à changer"):
        assert text in question.text
    assert "Étapes de l’activation" not in question.text
    refused = [submit(phone, question), submit(phone, question, mot_de_passe="autre marteau nuage")]
    assert [heading(page) for page in refused] == [ASKS, ASKS]
    assert reload_account(account).email == OLD
    for page in (question, *refused):
        assert not any(school in page.text for school in ("Collège des Tilleuls", "Lycée Louise-Weber"))
    for page in (question, *refused, submit(phone, question, mot_de_passe=PASSWORD), phone.get(link)):
        for secret in (account.username, "LEROY", "Noémie", "Malo", "Inès", OLD, NEW):
            assert secret not in page.text
        assert "__Host-ss" not in page.headers.get("Set-Cookie", "")


def test_the_link_of_a_cancelled_change_promises_no_message(app: Flask, browser: FlaskClient, build: Build) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        account, link = _asked(browser, build)
        keep_present(account.id)
        db.session.rollback()
        before = len(office.deliver())
        clock.shift(timedelta(minutes=2))
        stranger = app.test_client()
        dead = stranger.get(link)
        assert (dead.status_code, heading(dead)) == (410, DEAD)
        assert "la demande a été arrêtée" in dead.text
        response = submit(stranger, dead, renvoyer="1")
        assert "Si la demande est toujours en cours, un message part" in response.text
        assert len(office.deliver()) == before
    for page in (dead, response):
        assert "Rien n’est perdu" not in page.text
        assert NEW not in page.text


@pytest.mark.row("E-04")
def test_a_link_to_an_address_that_was_replaced_sends_a_message_to_the_last_one(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        account, link = _asked(browser, build)
        clock.shift(timedelta(minutes=2))
        change_email(browser, "derniere@exemple.fr")
        clock.shift(timedelta(minutes=2))
        before = len([mail for mail in office.deliver() if mail["To"] == "derniere@exemple.fr"])
        stranger = app.test_client()
        dead = stranger.get(link)
        assert dead.status_code == 410
        assert "derniere" not in submit(stranger, dead, renvoyer="1").text
        mails = [mail for mail in office.deliver() if mail["To"] == "derniere@exemple.fr"]
        assert len(mails) == before + 1
        assert heading(submit(stranger, stranger.get(link_of(mails[-1])), mot_de_passe=PASSWORD)) == CONFIRMED
    assert reload_account(account).email == "derniere@exemple.fr"


@pytest.mark.row("E-04")
def test_a_change_of_password_revokes_links_and_their_renewal(app: Flask, browser: FlaskClient, build: Build) -> None:
    # Also if only the generation changed, because the link may belong to a person with the former password.
    with time_machine.travel(now(), tick=False) as clock:
        account, link = _asked(browser, build)
        commit(update(Account).where(Account.id == account.id).values(generation=2))
        clock.shift(timedelta(minutes=2))
        phone = app.test_client()
        dead = phone.get(link)
        assert dead.status_code == 410
        assert submit(phone, dead, renvoyer="1").status_code == 200
        assert len(links(account, Purpose.CHANGE_EMAIL)) == 1
    assert reload_account(account).email == OLD


@pytest.mark.row("E-05")
def test_contested_account_confirms_no_address(app: Flask, browser: FlaskClient, build: Build) -> None:
    account, link = _asked(browser, build)
    add_contest(account.id, now(), "avant@exemple.fr")
    phone = app.test_client()
    assert heading(submit(phone, phone.get(link), mot_de_passe=PASSWORD)) != CONFIRMED
    assert reload_account(account).email == OLD


@pytest.mark.row("S-07")
def test_the_mails_state_their_purpose_and_their_links_work(app: Flask, browser: FlaskClient, build: Build) -> None:
    with post_office(app) as office:
        account, _ = _asked(browser, build)
        mails = {mail["To"]: mail for mail in office.deliver()}
        new, old = mails[NEW], mails[OLD]
        assert new["Subject"] == "Confirmez votre nouvelle adresse mail"
        for part in (text_of(new), html_of(new)):
            assert "Noémie L." in part
            assert "Collège des Tilleuls" in part
            assert "Confirmez seulement si vous l’avez demandé." in part
            assert "24 heures" in part
            for secret in (account.username, "LEROY", "Malo", OLD):
                assert secret not in part
        assert old["Subject"] == "Votre adresse mail va changer"
        text = text_of(old)
        assert account.username in text
        assert "72 heures" in text
        assert NEW not in text
        [alarm] = re.findall(r"https://connexion\.exemple\.test(/adresse/contestation/\S{43})\s", text)
        assert heading(app.test_client().get(alarm)) == "Ce n’était pas vous ?"
        phone = app.test_client()
        assert heading(submit(phone, phone.get(link_of(new)), mot_de_passe=PASSWORD)) == CONFIRMED
        last = office.deliver()[-1]
    assert (last["To"], last["Subject"]) == (OLD, "Votre adresse mail a changé")
    assert "/adresse/contestation/" in text_of(last)


@pytest.mark.row("S-07")
def test_a_mail_of_a_cancelled_change_is_not_sent(app: Flask, browser: FlaskClient, build: Build) -> None:
    _asked(browser, build)
    submit(browser, browser.get(EMAIL_PAGE), garder="1")
    with post_office(app) as office:
        assert [mail["To"] for mail in office.deliver()] == [OLD]


@pytest.mark.row("S-07")
def test_a_late_notice_carries_no_expired_link(app: Flask, browser: FlaskClient, build: Build) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        _asked(browser, build)
        clock.shift(timedelta(hours=72))
        with post_office(app) as office:
            [notice] = [mail for mail in office.deliver() if mail["To"] == OLD]
    assert "/adresse/contestation/" not in text_of(notice)
    assert "Ce n’était pas moi" not in html_of(notice)


@pytest.mark.row("E-10")
def test_the_page_of_a_first_address_is_not_that_of_a_change(browser: FlaskClient, build: Build) -> None:
    _asked(browser, build)
    assert heading(browser.get("/adresse/confirmation")) == CONFIRMED
    data = {"csrf_token": form_token(browser.get(EMAIL_PAGE)), "mail": "voleur@exemple.fr"}
    browser.post("/adresse/modifier", data=data)
    browser.post("/adresse/confirmation", data=data)
    assert "voleur" not in browser.get(EMAIL_PAGE).text, "no other address without the password"


_FORM = "Modifiez votre adresse mail"
_THEIRS = "voleur@exemple.fr"


def _correction(waiting: TestResponse) -> str:
    return waiting.request.full_path.replace("/confirmation", "/modifier")


@pytest.mark.row("V-21")
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


@pytest.mark.row("V-21")
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


@pytest.mark.row("V-21")
def test_the_same_address_in_another_spelling_sends_no_notice(browser: FlaskClient, newcomer: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        place = _correction(activate(browser, newcomer))
        clock.shift(timedelta(seconds=61))
        submit(browser, browser.get(place), mail=EMAIL.title(), mot_de_passe=CHOSEN)
    assert read_state(newcomer.id).links == 2
    assert outbox(NOTICE) == []


@pytest.mark.row("V-21")
def test_an_abandoned_mailbox_is_notified_after_its_links_were_purged(browser: FlaskClient, build: Build) -> None:
    account = build.active(email=None, pending_email="attend@exemple.fr")
    sign_in(browser, "/connexion", account.username, PASSWORD)
    submit(browser, browser.get("/adresse/modifier"), mail=EMAIL, mot_de_passe=PASSWORD)
    [message] = outbox(NOTICE)
    assert message.payload["notice"] == Notice.EMAIL_ABANDONED.value
    assert read_state(account.id).pending == EMAIL


@pytest.mark.row("V-21")
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


@pytest.mark.row("V-21")
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
    for place, seen in ((waiting.request.full_path, ended), (_correction(waiting), ended), (activation, of_letter)):
        page = follow(browser, browser.get(place))
        assert (page.status_code, heading(page)) == seen, place
        assert EMAIL not in page.text


@pytest.mark.row("V-21")
def test_the_browser_history_is_refused_after_the_activation_expires(browser: FlaskClient, newcomer: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        waiting = activate(browser, newcomer)
        clock.shift(timedelta(minutes=30))
        page = submit(browser, browser.get(waiting.request.full_path))
        assert heading(page) == SENT, "a parent who waits may have the message sent again"
        clock.shift(timedelta(seconds=1))
        for place in (waiting.request.full_path, _correction(waiting)):
            assert heading(browser.get(place)) == LOST


@pytest.mark.row("V-21")
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
        assert heading(page) == CONFIRMED
        assert not any(word in page.text for word in (EMAIL, newcomer.username, "Noémie", 'name="mail"'))
        assert "Vous êtes connecté" not in page.text
    assert (read_state(newcomer.id).sessions, read_state(newcomer.id).email) == (1, EMAIL)


@pytest.mark.row("V-21")
@pytest.mark.row("V-23")
def test_a_waiting_page_says_that_the_person_continued_on_another_device(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty, newcomer: Account
) -> None:
    waiting = activate(browser, newcomer, ent.url(Attempt()))
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
