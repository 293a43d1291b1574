"""I-18: the mail after a sign-in from an unknown browser, and the mail after many failed sign-ins."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts import notices
from idp.accounts.models import Account
from idp.accounts.notices import Notice
from idp.db import db
from tests.builders import Build
from tests.email_confirmation.post import html_of, post_office, text_of
from tests.my_account.steps import HOST, LAPTOP, device, enter
from tests.protocol.nodes import node

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
    for part in (text_of(mail), html_of(mail)):
        text = " ".join(part.split())
        assert f"Le compte {parent.username} s’est ouvert sur un nouvel appareil" in text
        assert "le 24 novembre 2026 à 20 h 43 : Ordinateur Windows, Firefox." in text
        assert "C’était vous ? Tout va bien, vous n’avez rien à faire." in text
        assert "« Mot de passe oublié »" in text
        assert "http" not in text
        assert "203.0.113" not in text
    assert "Bonjour Noémie L.," in text_of(mail)
    assert "20 h 44 : Appareil inconnu." in " ".join(text_of(second).split())


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
    text = " ".join(text_of(mail).split())
    assert mail["Subject"] == "Beaucoup d’essais sur votre compte"
    assert f"pour le compte {parent.username}. Le dernier : le 24 novembre 2026 à 20 h 43." in text
    assert "Sur un appareil où vous vous êtes déjà connecté, rien ne change." in text
    assert "« Mot de passe oublié »" in text
