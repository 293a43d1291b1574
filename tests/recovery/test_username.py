"""F rows: the identifiers of a mailbox are told to that mailbox, and nothing to anybody else."""

from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts.closings import Merge
from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from tests.builders import LYCEE, Build
from tests.email_confirmation.post import html_of, post_office, text_of
from tests.pages import heading, submit
from tests.recovery.steps import LOOK, USERNAME, WAIT, ask_username, from_ip, journal, outbox
from tests.relying_party import Attempt, RelyingParty


def _mailboxes(build: Build) -> dict[str, str]:
    """Return what may be typed, by the case that it stands for."""
    build.active(email="connue@exemple.fr")
    build.active(email=None, pending_email="attente@exemple.fr")
    build.never_activated(school_email="ecole@exemple.fr")
    build.active(email="fermee@exemple.fr", disabled_at=now())
    for _ in range(3):
        build.active(email="partagee@exemple.fr")
    survivor = build.active(email="reste@exemple.fr")
    build.active(email="fondue@exemple.fr", disabled_at=now(), merge=Merge(into_id=survivor.id))
    typed = ("connue", "inconnue", "attente", "ecole", "fermee", "partagee", "fondue")
    return {name: f"{name}@exemple.fr" for name in typed}


@pytest.mark.row("F-01")
def test_the_mail_goes_to_confirmed_addresses_alone(app: Flask, build: Build) -> None:
    for number, typed in enumerate(_mailboxes(build).values()):
        ask_username(from_ip(app, f"203.0.113.{number}"), typed)
    with post_office(app) as office:
        mails = office.deliver()
    assert sorted(str(mail["To"]) for mail in mails) == ["connue@exemple.fr", "partagee@exemple.fr"]
    assert sorted(message.outcome for message in outbox("recovery.username")) == ["dropped"] * 5 + ["sent"] * 2
    counts = sorted(entry.details["count"] for entry in journal("recovery.username"))
    assert counts == [0] * 5 + [1, 3]
    assert all(entry.ip.startswith("203.0.113.") for entry in journal("recovery.username"))
    assert all(entry.account_id is None for entry in journal("recovery.username"))


@pytest.mark.row("F-01")
def test_a_text_that_is_no_address_is_refused_and_kept(browser: FlaskClient, build: Build) -> None:
    build.active(email="noemie@exemple.fr")
    for typed, reason in (
        ("", "Tapez une adresse mail."),
        ("noemie@exemple", "Il manque une partie de l’adresse."),
        ("a@exemple.fr, b@exemple.fr", "aria-invalid"),
    ):
        page = ask_username(browser, typed)
        assert (page.status_code, heading(page)) == (200, "Identifiant oublié")
        assert reason in page.text
        assert f'value="{typed}"' in page.text or not typed
    assert outbox("recovery.username") == []
    assert heading(submit(browser, page, mail="noemie@exemple.fr")) == LOOK, "a slip of the finger takes no slot"


@pytest.mark.row("F-02")
def test_two_parents_of_one_mailbox_get_one_mail_that_lists_both(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    malo = build.child()
    noemie = build.active(email="Famille.Leroy@exemple.fr", children=[malo, build.child("Lila", uai=LYCEE)])
    karim = build.active(
        email="famille.leroy@exemple.fr", given_name="Karim", family_name="LEROY", civility="M.", children=[malo]
    )
    stranger = build.active(email="autre@exemple.fr")
    ask_username(browser, "FAMILLE.leroy@exemple.fr")
    with post_office(app) as office:
        [mail] = office.deliver()
    assert (mail["To"], mail["Subject"]) == ("Famille.Leroy@exemple.fr", "Votre identifiant")
    text = text_of(mail)
    assert f"- Noémie L.\u00a0: {noemie.username} (Collège des Tilleuls, Lycée Louise-Weber)\r\n" in text
    assert f"- Karim L.\u00a0: {karim.username} (Collège des Tilleuls)\r\n" in text
    for part in (text, html_of(mail)):
        assert "https://ent.test/" in part, ent.client_id
        assert stranger.username not in part
        assert "VANDEPUTTE" not in part, "an initial is enough for those who share the mailbox"
        assert "Malo" not in part


@pytest.mark.row("F-02")
def test_account_moved_to_another_mailbox_is_not_in_the_mail(app: Flask, browser: FlaskClient, build: Build) -> None:
    stays, moves = build.active(email="famille@exemple.fr"), build.active(email="famille@exemple.fr")
    ask_username(browser, "famille@exemple.fr")
    moved = db.session.get_one(Account, moves.id)
    moved.email, moved.email_confirmed_at = "ailleurs@exemple.fr", now()
    db.session.commit()
    with post_office(app) as office:
        [mail] = office.deliver()
    assert mail["To"] == "famille@exemple.fr"
    assert stays.username in text_of(mail)
    assert moves.username not in text_of(mail)


@pytest.mark.row("F-03")
def test_page_shows_no_identifier_and_names_where_to_ask(browser: FlaskClient, newcomer: Account) -> None:
    page = browser.get(USERNAME)
    assert "Courrier perdu\u00a0: le secrétariat vous en donne un autre." in page.text
    sent = submit(
        browser,
        page,
        mail="personne@exemple.fr",
        nom="LEROY-VANDEPUTTE",
        prenom="Noémie",
        enfant="Malo",
        etablissement="0599001N",
    )
    assert heading(sent) == LOOK
    assert "Demandez au secrétariat de l’établissement" in sent.text
    for text in (page.text, sent.text):
        assert newcomer.username not in text
        assert "Noémie" not in text


@pytest.mark.row("F-04")
def test_requests_of_a_network_are_limited(app: Flask, browser: FlaskClient, few: int) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        for number in range(few):
            assert heading(ask_username(browser, f"p{number}@exemple.fr")) == LOOK
        stopped = ask_username(browser, "p20@exemple.fr")
        assert (stopped.status_code, heading(stopped)) == (429, WAIT)
        assert stopped.headers["Retry-After"] == "3600"
        assert "Nouvel essai possible dans 60 minutes." in stopped.text
        assert heading(ask_username(from_ip(app, "2001:db8:1:1::1"), "p20@exemple.fr")) == LOOK
        clock.shift(timedelta(hours=1))
        assert heading(ask_username(browser, "p21@exemple.fr")) == LOOK


@pytest.mark.row("F-04")
def test_mails_to_a_mailbox_are_limited_by_minute_hour_and_day(app: Flask, build: Build) -> None:
    build.active(email="victime@exemple.fr")
    taken = 0
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        for minute in range(24 * 60):
            if minute % (10 if minute < 3 * 60 else 60) in {0, 1}:  # ten are taken by then, and no more all day
                spelled = "Victime@exemple.fr" if minute % 4 else "victime@EXEMPLE.fr"
                answer = ask_username(from_ip(app, f"2001:db8:{minute:x}::1"), spelled)
                taken += answer.status_code == 200
            if minute in {0, 59, 24 * 60 - 1}:
                office.deliver()
                assert taken == len(office.mailbox.mails()) == {0: 1, 59: 5}.get(minute, 10)
            clock.shift(timedelta(minutes=1))


@pytest.mark.row("F-05")
def test_the_mail_holds_no_link_with_a_token(app: Flask, browser: FlaskClient, build: Build) -> None:
    account = build.active(email="noemie@exemple.fr")
    ask_username(browser, "noemie@exemple.fr")
    with post_office(app) as office:
        [mail] = office.deliver()
    for part in (text_of(mail), html_of(mail)):
        assert account.username in part
        assert "/lien/" not in part
        assert "https://connexion.exemple.test/connexion" in part, "no ENT serves the school: our own sign-in page"
    page = app.test_client().get("/connexion")
    assert account.username not in page.text


def test_the_way_back_keeps_the_ent_and_survives_a_request_that_is_over(
    browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    build.active(email="noemie@exemple.fr")
    with time_machine.travel(now(), tick=False) as clock:
        page = submit(browser, browser.get("/profil"), profil="parent")
        sign_in = browser.get(browser.get(ent.url(Attempt())).headers["Location"])
        assert "Passerelle" in sign_in.text, page.status
        place = f"{USERNAME}?{sign_in.request.query_string.decode()}"
        sent = submit(browser, browser.get(place), mail="noemie@exemple.fr")
        assert heading(sent) == LOOK
        assert "/connexion?demande=" in sent.text
        clock.shift(timedelta(hours=2))
        for where in (place, place.replace(USERNAME, f"{USERNAME}/envoye"), f"{USERNAME}?demande=rien"):
            late = browser.get(where)
            assert late.status_code == 200
            assert 'href="/connexion"' in late.text
        assert heading(submit(browser, browser.get(place), mail="noemie@exemple.fr")) == LOOK
