"""« Mes connexions » and the mail about a new device (M-05, M-07, T-22, I-05, I-14, I-18)."""

import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts import notices
from idp.accounts.models import Account
from idp.accounts.notices import Notice
from idp.db import db
from idp.my_account.connections import origin_of
from idp.outbox.queue import OutboxMessage
from idp.sessions.ending import SESSIONS_ENDED
from idp.sessions.models import Session
from tests.builders import PASSWORD, Build
from tests.email_confirmation.post import html_of, post_office, text_of as mail_text
from tests.my_account.steps import HOST, LAPTOP, PHONE, device, enter, is_in, journal, text_of, wait_out
from tests.pages import form_token, heading, sign_in, submit
from tests.protocol.flow import OFFLINE, refused, tokens_for
from tests.protocol.nodes import node
from tests.rows import each_row

PAGE = "/mon-compte/sessions"
EVENING = datetime(2026, 11, 24, 19, 40, tzinfo=UTC)  # 20 h 40 in Paris


def _keys(page: TestResponse) -> list[str]:
    return re.findall(r'name="connexion" value="([^"]+)"', page.text)


def _told() -> list[str]:
    rows = db.session.scalars(select(OutboxMessage).where(OutboxMessage.kind == SESSIONS_ENDED)).all()
    return [key for row in rows for key in row.payload["sessions"]]


def test_each_device_is_shown_in_plain_words_the_present_one_first(app: Flask, parent: Account) -> None:
    with time_machine.travel(EVENING - timedelta(minutes=40), tick=False) as clock:
        laptop, phone = device(app, LAPTOP, "82.64.17.9"), device(app, PHONE, "203.0.113.7")
        enter(laptop, parent)
        clock.move_to(EVENING)
        enter(phone, parent)
        page = phone.get(PAGE)
        text = text_of(page)
    present = (
        "Téléphone Android, Chrome cet appareil Depuis aujourd’hui à 20 h 40 Même connexion internet que maintenant"
    )
    other = "Ordinateur Windows, Firefox Depuis aujourd’hui à 20 h 00 Autre connexion internet (82.64.•.•)"
    assert 0 < text.index(present) < text.index(other)
    assert "82.64.17" not in page.text
    assert len(_keys(page)) == 1
    assert "Déconnecter : Ordinateur Windows, Firefox" in text
    assert text.count("cet appareil") == 1


def test_the_last_ten_sign_ins_are_listed_with_their_result(app: Flask, build: Build) -> None:
    account, phone = build.active(), device(app)
    with time_machine.travel(EVENING - timedelta(days=1, hours=2), tick=False) as clock:
        enter(device(app, LAPTOP, "82.64.17.9"), account)
        clock.move_to(EVENING - timedelta(minutes=2))
        sign_in(phone, "/connexion", account.username, "pas le bon")
        clock.move_to(EVENING)
        enter(phone, account)
        submit(phone, phone.get("/mon-compte/verification"), mot_de_passe="pas le bon")  # inside: no sign-in
        text = text_of(phone.get(PAGE))
        right = "Aujourd’hui à 20 h 40, Téléphone Android, même connexion internet que maintenant : réussie"
        wrong = "Aujourd’hui à 20 h 38, Téléphone Android, même connexion internet que maintenant : mot de passe refusé"
        former = "Hier à 18 h 40, Ordinateur Windows, autre connexion internet (82.64.•.•) : réussie"
        assert 0 < text.index(right) < text.index(wrong) < text.index(former)
        assert text.count("mot de passe refusé") == 1
        assert "Nous gardons ces dates 12 mois, et 6 mois pour les essais refusés." in text
        for _ in range(12):
            clock.shift(timedelta(seconds=1))
            enter(phone, account)
        assert text_of(phone.get(PAGE)).count(": réussie") == 10
        clock.shift(timedelta(days=11))
        enter(phone, account)
        assert "Le 24 novembre 2026 à 20 h 40" in text_of(phone.get(PAGE))


def test_devices_and_sign_ins_of_other_accounts_are_hidden(app: Flask, build: Build) -> None:
    account, other = build.active(), build.active()
    enter(device(app, LAPTOP), other)
    phone = device(app)
    enter(phone, account)
    text = text_of(phone.get(PAGE))
    assert "Windows" not in text
    assert text.count(": réussie") == 1


@pytest.mark.row("M-07")
def test_ending_other_sessions_signs_them_out_at_their_next_request(app: Flask, build: Build) -> None:
    account, phone, laptop, tablet = build.active(), device(app), device(app, LAPTOP), device(app, "iPad")
    for browser in (laptop, tablet, phone):
        enter(browser, account)
    keys = _keys(phone.get(PAGE))
    page = submit(phone, phone.get(PAGE), toutes="1")
    assert heading(page) == "Mes connexions"
    assert "Les autres appareils sont déconnectés." in text_of(page)
    assert [is_in(browser) for browser in (phone, laptop, tablet)] == [True, False, False]
    assert _keys(page) == []
    [event] = journal("sessions.ended", account)
    assert event.details == {"count": 2, "by": "person"}
    assert sorted(_told()) == sorted(keys)


@pytest.mark.row("M-07")
def test_ending_a_session_leaves_the_other_sessions(app: Flask, build: Build) -> None:
    account, phone, laptop, tablet = build.active(), device(app), device(app, LAPTOP), device(app, "iPad")
    for browser in (laptop, tablet, phone):
        enter(browser, account)
    page = phone.get(PAGE)
    [key] = re.findall(r'value="([^"]+)">Déconnecter<span class="vh">[^<]*Windows', page.text)
    assert "L’appareil est déconnecté." in text_of(submit(phone, page, connexion=key))
    assert [is_in(browser) for browser in (phone, laptop, tablet)] == [True, False, True]
    assert _told() == [key]
    again = submit(phone, page, connexion=key)  # the second of two clicks
    assert "L’appareil est déconnecté." in text_of(again)
    assert len(journal("sessions.ended", account)) == 1


@pytest.mark.row("M-07")
def test_a_device_that_typed_its_password_again_meanwhile_is_ended_all_the_same(app: Flask, build: Build) -> None:
    account, phone, laptop = build.active(), device(app), device(app, LAPTOP)
    enter(laptop, account)
    enter(phone, account)
    page = phone.get(PAGE)
    [key] = _keys(page)
    submit(laptop, laptop.get("/mon-compte/verification"), mot_de_passe=PASSWORD)
    assert _keys(phone.get(PAGE)) == [key], "the same session, under another cookie"
    submit(phone, page, connexion=key)
    assert not is_in(laptop)


def test_sessions_of_another_account_cannot_be_ended(app: Flask, build: Build) -> None:
    account, other = build.active(), build.active()
    phone, stranger = device(app), device(app, LAPTOP)
    enter(stranger, other)
    enter(phone, account)
    [theirs] = db.session.scalars(select(Session.id).where(Session.account_id == other.id))
    [mine] = db.session.scalars(select(Session.id).where(Session.account_id == account.id))
    token = form_token(phone.get("/mon-compte"))
    answers = [
        phone.post(PAGE, data={"csrf_token": token, "connexion": value})
        for value in (str(theirs), str(uuid.uuid4()), str(mine), "", "1", "' OR 1=1", "\x00", "9" * 5000)
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({text_of(answer) for answer in answers}) == 1
    assert is_in(phone)
    assert is_in(stranger)
    assert journal("sessions.ended") == []


@pytest.mark.parametrize("act", ["one", "others"])
def test_others_are_ended_only_after_the_password_was_typed_again(app: Flask, build: Build, act: str) -> None:
    account, phone, laptop = build.active(), device(app), device(app, LAPTOP)
    with time_machine.travel(EVENING, tick=False) as clock:
        enter(laptop, account)
        enter(phone, account)
        page = phone.get(PAGE)
        assert "tapez à nouveau votre mot de passe" not in text_of(page)
        wait_out(clock)
        page = phone.get(PAGE)
        assert "tapez à nouveau votre mot de passe" in text_of(page)
        fields = {"toutes": "1"} if act == "others" else {"connexion": _keys(page)[0]}
        response = submit(phone, page, **fields)
        assert heading(response) == "Confirmez que c’est vous"
        assert is_in(laptop)
        back = submit(phone, response, mot_de_passe=PASSWORD)
        assert heading(back) == "Mes connexions"
        assert "Touchez à nouveau le bouton" in text_of(back)
        assert is_in(laptop)
        submit(phone, back, **fields)
        assert is_in(phone)
        assert not is_in(laptop)


@pytest.mark.row("M-07")
@pytest.mark.parametrize(
    ("alone", "button"),
    [(timedelta(minutes=70), "connexion"), (timedelta(days=3), "toutes")],
    ids=["idle", "expired"],
)
def test_a_device_that_is_in_an_ent_only_is_listed_and_can_be_ended(
    app: Flask, build: Build, alone: timedelta, button: str
) -> None:
    account, ent = build.active(), build.ent(scopes=OFFLINE)
    evening = datetime.now(UTC)
    with time_machine.travel(evening, tick=False) as clock:
        library, laptop, phone = device(app, LAPTOP), device(app, LAPTOP), device(app)
        enter(library, account)
        tokens_for(library, ent)  # nothing that can be renewed: after its hour it is out everywhere
        enter(laptop, account)
        tokens = tokens_for(laptop, ent, scope=OFFLINE)
        clock.move_to(evening + alone)
        enter(phone, account)
        page = phone.get(PAGE)
        [key] = _keys(page)
        assert text_of(page).count("Plus ouvert ici, mais un ENT peut y être resté ouvert.") == 1
        assert "2 appareils connectés" in text_of(phone.get("/mon-compte"))
        submit(phone, page, **{button: key if button == "connexion" else "1"})
        assert _told()
        refused(ent.refresh(laptop, tokens["refresh_token"]), "invalid_grant")
        assert _keys(phone.get(PAGE)) == []


def test_a_session_already_ended_ends_no_other_session(app: Flask, build: Build) -> None:
    account, phone, laptop = build.active(), device(app), device(app, LAPTOP)
    enter(laptop, account)
    enter(phone, account)
    waiting = laptop.get(PAGE)
    submit(phone, phone.get(PAGE), toutes="1")
    assert heading(submit(laptop, waiting, toutes="1")) == "Connexion"
    assert is_in(phone)


@each_row(
    ("ip", "here", "sentence"),
    [
        ("82.64.17.9", "82.64.17.9", "même connexion internet que maintenant"),
        ("82.64.17.9", "82.64.17.8", "autre connexion internet (82.64.•.•)"),
        ("::ffff:82.64.17.9", "82.64.17.9", "même connexion internet que maintenant"),
        ("2a01:cb00:1:2::7", "2a01:cb00:1:2:ffff::1", "même connexion internet que maintenant"),
        ("2a01:cb00:1:2::7", "82.64.17.9", "autre connexion internet (2a01:cb00:•)"),
        ("", "", "autre connexion internet"),
        ("n’importe quoi", "82.64.17.9", "autre connexion internet"),
    ],
)
def test_an_origin_is_coarse(app: Flask, ip: str, here: str, sentence: str) -> None:
    with app.test_request_context():
        assert origin_of(ip, here) == sentence


SUBJECT = "Connexion sur un nouvel appareil"


@pytest.fixture
def unwanted(database_url: str) -> Iterator[Flask]:
    with node(database_url, new_device_mail=False) as app:
        yield app


@pytest.mark.row("I-18")
def test_an_unknown_browser_is_reported_by_mail_and_a_known_browser_is_not(
    app: Flask, browser: FlaskClient, parent: Account
) -> None:
    with (
        time_machine.travel(datetime(2026, 11, 24, 19, 43, tzinfo=UTC), tick=False) as clock,
        post_office(app) as office,
    ):
        enter(browser, parent)
        assert office.deliver() == [], "the very first sign-in follows the activation"
        browser.delete_cookie("__Host-ss", domain=HOST)
        enter(browser, parent)
        assert office.deliver() == [], "the device cookie is known"
        enter(device(app, LAPTOP), parent)
        [mail] = office.deliver()
        clock.shift(timedelta(minutes=1))
        enter(device(app, ""), parent)
        _, second = office.deliver()
    assert (mail["Subject"], mail["To"]) == (SUBJECT, parent.email)
    for part in (mail_text(mail), html_of(mail)):
        text = " ".join(part.split())
        assert "le 24 novembre 2026 à 20 h 43 : Ordinateur Windows, Firefox." in text
        assert "« Mot de passe oublié »" in text
        assert "http" not in text
        assert "203.0.113" not in text
    assert "Bonjour Noémie L.," in mail_text(mail)
    assert "20 h 44 : Appareil inconnu." in " ".join(mail_text(second).split())


@pytest.mark.row("I-18")
def test_no_mail_when_the_setting_is_off(app: Flask, unwanted: Flask, parent: Account) -> None:
    enter(device(app), parent)
    enter(device(unwanted, LAPTOP), parent)
    with post_office(app) as office:
        assert office.deliver() == []
        enter(device(app, LAPTOP), parent)
        assert [mail["Subject"] for mail in office.deliver()] == [SUBJECT]


@pytest.mark.row("I-18")
def test_an_account_without_an_address_gets_no_mail_and_signs_in(app: Flask, build: Build) -> None:
    account = build.active(email=None)
    enter(device(app), account)
    enter(device(app, LAPTOP), account)
    with post_office(app) as office:
        assert office.deliver() == []


@pytest.mark.row("I-05")
def test_the_mail_about_many_tries_names_the_devices_that_still_sign_in(app: Flask, parent: Account) -> None:
    with time_machine.travel(datetime(2026, 11, 24, 19, 43, tzinfo=UTC), tick=False), post_office(app) as office:
        notices.tell(Notice.MANY_TRIES, parent.id)
        db.session.commit()
        [mail] = office.deliver()
    text = " ".join(mail_text(mail).split())
    assert mail["Subject"] == "Beaucoup d’essais sur votre compte"
    assert f"pour le compte {parent.username}. Le dernier : le 24 novembre 2026 à 20 h 43." in text
    assert "« Mot de passe oublié »" in text
