"""What a mailbox is told: identifiers, and what two parents who share it can do to each other's account."""

from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, update

from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account, Merge
from idp.accounts.one_time_links import OneTimeLink, Purpose
from idp.clock import now
from idp.config import Settings
from idp.db import db
from tests.builders import LYCEE, PASSWORD, Build, commit
from tests.databases import settings_for
from tests.email_confirmation.post import html_of, post_office, text_of
from tests.my_account.changes import change_email, enter, links, path_of
from tests.pages import form_token, heading, sign_in, submit
from tests.recovery.steps import (
    DONE,
    LOOK,
    USERNAME,
    WAIT,
    answers,
    ask_password,
    ask_username,
    choose,
    enters,
    flood,
    from_ip,
    journal,
    link_of,
    outbox,
)
from tests.relying_party import Attempt, RelyingParty
from tests.statements.lending import heard


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
    assert sorted(entry.details["count"] for entry in journal("recovery.username")) == [0] * 5 + [1, 3]
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
    assert account.username not in app.test_client().get("/connexion").text


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


_MAILBOX = "famille@exemple.fr"
_NO_LINK = "Votre nouveau mot de passe : pas de lien par mail"


@pytest.fixture
def settings(request: pytest.FixtureRequest, database_url: str) -> Settings:
    return settings_for(database_url, shared_mailbox=getattr(request, "param", "known-device"))


@pytest.fixture
def parents(build: Build) -> tuple[Account, Account]:
    malo = build.child()
    return (
        build.active(email=_MAILBOX, children=[malo]),
        build.active(email=_MAILBOX.title(), given_name="Yann", children=[malo]),
    )


@pytest.mark.row("G-14")
def test_a_shared_mailbox_gives_no_link_to_an_unknown_device(app: Flask, parents: tuple[Account, Account]) -> None:
    mother, father = parents
    his_device = app.test_client()
    sign_in(his_device, "/connexion", father.username, PASSWORD)
    ask_password(his_device, mother.username)
    with post_office(app) as office:
        [mail] = office.deliver()
    assert mail["Subject"] == _NO_LINK
    for text in (text_of(mail), html_of(mail)):
        assert mother.username in text
        assert "Collège des Tilleuls" in text
        assert "/mot-de-passe/lien/" not in text
    assert answers() == ["by_letter"]
    assert enters(app, mother, PASSWORD)


@pytest.mark.row("G-14")
def test_a_shared_mailbox_gives_a_link_to_the_accounts_own_device(app: Flask, parents: tuple[Account, Account]) -> None:
    mother, _ = parents
    her_device = app.test_client()
    sign_in(her_device, "/connexion", mother.username, PASSWORD)
    ask_password(her_device, mother.username)
    with post_office(app) as office:
        [mail] = office.deliver()
        assert heading(choose(app.test_client(), link_of(mail))) == DONE
    assert answers() == ["link"]


@pytest.mark.row("G-14", "W-02")
def test_mails_without_a_link_leave_room_for_the_link_of_a_known_device(
    app: Flask, parents: tuple[Account, Account]
) -> None:
    mother, _ = parents
    her_device = app.test_client()
    sign_in(her_device, "/connexion", mother.username, PASSWORD)
    with time_machine.travel(now() + timedelta(minutes=1), tick=False), post_office(app) as office:
        flood(app, mother.username)
        assert len(office.deliver()) == 1
        ask_password(her_device, mother.username)
        assert heading(choose(app.test_client(), link_of(office.deliver()[-1]))) == DONE
    assert sorted(answers()) == ["by_letter", "capped", "link"]


@pytest.mark.row("G-14")
def test_a_device_that_did_not_prove_the_present_password_is_unknown(
    app: Flask, browser: FlaskClient, parents: tuple[Account, Account]
) -> None:
    mother, _ = parents
    sign_in(browser, "/connexion", mother.username, PASSWORD)
    row = db.session.get_one(Account, mother.id)
    row.password_changed_at = now() + timedelta(days=365)
    db.session.commit()
    ask_password(browser, mother.username)
    with post_office(app) as office:
        assert [mail["Subject"] for mail in office.deliver()] == [_NO_LINK]


@pytest.mark.row("G-14")
def test_a_mailbox_of_one_account_gives_its_link_to_any_device(
    app: Flask, browser: FlaskClient, parents: tuple[Account, Account]
) -> None:
    mother, father = parents
    row = db.session.get_one(Account, father.id)
    row.email, row.disabled_at, row.merge = None, now(), Merge(into_id=mother.id)
    db.session.commit()
    ask_password(browser, mother.username)
    with post_office(app) as office:
        assert link_of(office.deliver()[0])


def _confirm_another(app: Flask, build: Build, account: Account, email: str) -> None:
    browser, phone = enter(app.test_client(), account), app.test_client()
    change_email(browser, email)
    link = links(account, Purpose.CHANGE_EMAIL)[-1]
    done = submit(phone, phone.get(path_of(build.settings, link)), mot_de_passe=PASSWORD)
    assert "Votre nouvelle adresse est confirmée." in done.text


@pytest.mark.row("G-14")
def test_account_that_changed_its_address_still_counts_as_a_reader(
    app: Flask, browser: FlaskClient, build: Build, parents: tuple[Account, Account]
) -> None:
    mother, father = parents
    _confirm_another(app, build, father, "yann@exemple.fr")
    db.session.execute(delete(OneTimeLink))  # as a purge does after some days
    db.session.commit()
    with post_office(app) as office:
        ask_password(browser, mother.username)
        assert office.deliver()[-1]["Subject"] == _NO_LINK
    assert answers() == ["by_letter"]


@pytest.mark.row("G-14")
def test_confirming_an_unshared_mailbox_allows_a_link_again(
    app: Flask, browser: FlaskClient, build: Build, parents: tuple[Account, Account]
) -> None:
    mother, father = parents
    _confirm_another(app, build, father, "yann@exemple.fr")
    _confirm_another(app, build, mother, "noemie@exemple.fr")
    ask_password(browser, mother.username)
    with post_office(app) as office:
        assert link_of(office.deliver()[-1])
    assert answers() == ["link"]


@pytest.mark.row("G-14")
@pytest.mark.parametrize("change", [{"email": None}, {"disabled_at": now()}], ids=["new letter", "disabled"])
def test_a_reader_with_a_new_letter_or_a_disabled_account_still_counts(
    app: Flask, browser: FlaskClient, parents: tuple[Account, Account], change: dict[str, object]
) -> None:
    mother, father = parents
    commit(update(Account).where(Account.id == father.id).values(change))
    ask_password(browser, mother.username)
    with post_office(app) as office:
        assert [mail["Subject"] for mail in office.deliver()] == [_NO_LINK]


@pytest.mark.row("G-14")
def test_the_page_and_its_statements_do_not_depend_on_the_mailbox(
    app: Flask, browser: FlaskClient, build: Build, parents: tuple[Account, Account]
) -> None:
    alone, seen = build.active(email="seule@exemple.fr"), []
    for number, username in enumerate((parents[0].username, alone.username, "x.personne")):
        asker = app.test_client()
        asker.environ_base["REMOTE_ADDR"] = f"203.0.113.{number}"
        form_token(asker.get("/mot-de-passe-oublie"))
        with heard() as run:
            page = ask_password(asker, username)
        seen.append((page.status_code, page.text, [text.split()[0] for text in run]))
    assert seen[0] == seen[1] == seen[2]
    assert "Le message n’a pas de lien si l’adresse sert à plusieurs comptes" in seen[0][1]


@pytest.mark.row("G-14")
def test_a_blocked_password_of_a_shared_mailbox_is_renewed_by_letter_from_an_unknown_device(
    app: Flask, browser: FlaskClient, parents: tuple[Account, Account]
) -> None:
    mother, _ = parents
    db.session.get_one(Account, mother.id).password_state = PasswordState.BLOCKED
    db.session.commit()
    page = sign_in(browser, "/connexion", mother.username, PASSWORD)
    assert heading(page) == "Choisissez un nouveau mot de passe"
    assert "Nous n’envoyons pas de lien par mail" in page.text
    assert "Un lien part maintenant" not in page.text
    with post_office(app) as office:
        [mail] = office.deliver()
    assert mail["Subject"] == _NO_LINK


@pytest.mark.row("G-14")
@pytest.mark.parametrize("settings", ["allow"], indirect=True)
def test_allowed_sharing_gives_a_link_on_any_device(
    app: Flask, browser: FlaskClient, parents: tuple[Account, Account], settings: Settings
) -> None:
    assert "un lien part maintenant" in ask_password(browser, parents[0].username).text
    with post_office(app) as office:
        assert link_of(office.deliver()[0])
