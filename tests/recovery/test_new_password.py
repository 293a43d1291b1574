"""G-07, G-08, G-11, W-02 and Z-03: accepted passwords, the end of sessions, and the next page."""

import re
from datetime import timedelta
from html import unescape
from urllib.parse import urlencode

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.accounts import notices, one_time_links
from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account
from idp.accounts.notices import NOTICE, RESET_REQUESTED, Notice
from idp.accounts.one_time_links import LinkState, Purpose
from idp.accounts.passwords.hasher import Hasher
from idp.clock import now
from idp.db import db, release_connection
from idp.sessions.ending import SESSIONS_ENDED
from idp.throttle import guard, limits
from tests.builders import PASSWORD as KNOWN, Build
from tests.email_confirmation.post import html_of, post_office, text_of
from tests.my_account.changes import at_once, form
from tests.pages import cookie_value, follow, heading, sign_in, submit
from tests.protocol.flow import OFFLINE, refused
from tests.recovery.steps import (
    CHOSEN,
    DONE,
    FORM,
    HOST,
    OTHER,
    PASSWORD,
    USED,
    WEAK,
    choose,
    enters,
    journal,
    mailed_link,
    outbox,
    read_account_row,
)
from tests.relying_party import Attempt
from tests.rows import each_row


@pytest.mark.parametrize("entrance", ["https://ent.test/", "https://ent.test/entrer"])
def test_page_after_a_new_password_leads_to_the_ent(
    app: Flask, browser: FlaskClient, build: Build, entrance: str
) -> None:
    begins = "" if entrance.endswith("/") else entrance
    ent = build.ent(initiate_login_uri=begins)
    account = build.active()
    link = mailed_link(app, browser, account)
    done = choose(browser, link)
    assert heading(done) == DONE
    for page in (done, browser.get(done.request.full_path), app.test_client().get(link)):
        assert _way_on(page) == [("Accéder à l’ENT", f"{begins}?{_told(build)}" if begins else entrance)]
        assert account.username not in page.text
    assert ent.client_id in done.request.full_path, "what the page knows is in its address: the ENT, and no person"
    page = browser.get("/connexion")
    assert f'value="{account.username}"' in page.text
    assert "Celui que vous venez de choisir" in page.text
    assert "provisoire" not in page.text
    assert account.username not in app.test_client().get("/connexion").text
    sign_in(browser, "/connexion", account.username, CHOSEN)
    submit(browser, browser.get("/logout"))
    assert account.username not in browser.get("/connexion").text, "somebody signed in since"


def _way_on(page: TestResponse) -> list[tuple[str, str]]:
    links = re.findall(r'<a class="btn" href="([^"]+)">(.*?)</a>', page.text)
    return [(text, unescape(href)) for href, text in links]


def _told(build: Build) -> str:
    return urlencode(
        {"iss": build.settings.issuer, "login_hint": "profil:parent", "target_link_uri": "https://ent.test/"}
    )


@each_row("named", ["", "?ent=", "?ent=nobody", "?ent=https://evil.test/", "?ent=x&ent=y", "?ent=%00"])
def test_without_an_ent_that_is_registered_the_way_on_is_the_sign_in(browser: FlaskClient, named: str) -> None:
    assert _way_on(browser.get(f"/mot-de-passe/change{named}")) == [("Se connecter", "/connexion")]


@pytest.mark.row("G-07")
def test_new_password_ends_all_sessions_and_signs_nobody_in(app: Flask, build: Build) -> None:
    account, ent = build.active(email="noemie@exemple.fr"), build.ent(scopes=OFFLINE)
    phone, attempt = app.test_client(), Attempt()
    answer = ent.answer(sign_in(phone, ent.url(attempt, scope=OFFLINE), account.username, KNOWN))
    granted = ent.tokens(phone, answer["code"], attempt)
    change, contest = (_issue(build, account, purpose) for purpose in (Purpose.CHANGE_EMAIL, Purpose.CONTEST_EMAIL))
    browser = app.test_client()
    done = choose(browser, mailed_link(app, browser, account))
    assert (heading(done), done.request.path) == (DONE, "/mot-de-passe/change")
    assert "tous vos appareils ont été déconnectés" in done.text
    assert browser.get_cookie("__Host-ss", domain=HOST) is None
    for client in (browser, phone):
        assert heading(follow(client, client.get("/mon-compte"))) == "Connexion"
    refused(ent.refresh(phone, granted["refresh_token"]), "invalid_grant")
    assert ent.userinfo(phone, granted["access_token"]).status_code == 401
    assert one_time_links.look_up(Purpose.CHANGE_EMAIL, change).state is LinkState.DEAD
    assert one_time_links.look_up(Purpose.CONTEST_EMAIL, contest).state is LinkState.ALIVE, (
        "« Ce n’était pas moi » outlives it"
    )
    [message] = outbox(SESSIONS_ENDED)
    assert len(message.payload["sessions"]) == 1
    with post_office(app) as office:
        [notice] = office.deliver()
    assert (notice["To"], notice["Subject"]) == ("noemie@exemple.fr", "Votre mot de passe a changé")
    for part in (text_of(notice), html_of(notice)):
        assert f"Le mot de passe du compte {account.username} a été changé le" in part
        assert "http" not in part
        assert "Passerelle" in part, "the person knows by the ENT what account this is"
    assert [entry.account_id for entry in journal("password.reset")] == [account.id]
    assert [entry.details["by"] for entry in journal("sessions.ended")] == ["password_reset"]
    assert enters(app, account, CHOSEN)
    assert not enters(app, account, KNOWN)


def _issue(build: Build, account: Account, purpose: Purpose) -> str:
    link = one_time_links.issue(build.settings, purpose, account, email="x@exemple.fr", lifetime=timedelta(hours=72))
    value = one_time_links.token(build.settings, link)
    db.session.commit()
    assert value is not None
    return value


@pytest.mark.row("G-07")
def test_a_pending_change_of_address_is_cancelled(app: Flask, browser: FlaskClient, build: Build) -> None:
    account = build.active(email="noemie@exemple.fr", pending_email="intrus@exemple.fr")
    choose(browser, mailed_link(app, browser, account))
    after = read_account_row(account)
    assert (after["email"], after["pending_email"]) == ("noemie@exemple.fr", None)


@pytest.mark.row("G-07")
def test_new_password_ends_the_session_of_another_account_in_that_browser(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    karim, noemie = build.active(email="k@exemple.fr"), build.active(email="n@exemple.fr")
    sign_in(browser, "/connexion", karim.username, KNOWN)
    cookie = cookie_value(browser)
    assert heading(choose(browser, mailed_link(app, browser, noemie))) == DONE
    assert browser.get_cookie("__Host-ss", domain=HOST) is None
    browser.set_cookie("__Host-ss", cookie, domain=HOST, secure=True)
    assert heading(follow(browser, browser.get("/mon-compte"))) == "Connexion"


@pytest.mark.row("G-08")
def test_an_account_that_is_held_back_is_reset_and_then_free(app: Flask, browser: FlaskClient, parent: Account) -> None:
    with time_machine.travel(now(), tick=False):
        for _ in range(6):
            wrong = sign_in(app.test_client(), "/connexion", parent.username, "faux")
        assert (wrong.status_code, "Un peu de patience" in wrong.text) == (429, True)
        assert not enters(app, parent, KNOWN)
        assert heading(choose(browser, mailed_link(app, browser, parent))) == DONE
        assert enters(app, parent, CHOSEN)


@pytest.mark.row("G-11")
@pytest.mark.parametrize(
    ("password", "again", "reason"),
    [
        (WEAK, None, "Il faut 12 caractères au moins"),
        ("x" * 129, None, "Ce mot de passe dépasse 128 caractères"),
        ("Noémie et ses vélos", None, "Ce mot de passe contient votre nom ou votre prénom"),
        ("Malo et ses grands vélos", None, "Ce mot de passe contient le prénom de votre enfant"),
        (CHOSEN, OTHER, "Les deux mots de passe ne sont pas les mêmes"),
        (CHOSEN, "", "Les deux mots de passe ne sont pas les mêmes"),
        ("", None, "Ce champ est vide. Choisissez un mot de passe de 12 caractères au moins."),
    ],
)
def test_a_refused_password_leaves_the_link_valid(
    app: Flask, browser: FlaskClient, password: str, again: str | None, reason: str, parent: Account
) -> None:
    page = choose(browser, mailed_link(app, browser, parent), password, again)
    assert (page.status_code, heading(page)) == (200, FORM)
    assert reason in page.text
    assert "<title>Erreur\u00a0:" in page.text
    assert not password or f'value="{password}"' not in page.text
    assert f'autocomplete="username" value="{parent.username}" hidden' in page.text
    assert read_account_row(parent)["generation"] == 1
    assert heading(submit(browser, page, nouveau=CHOSEN, confirmation=CHOSEN)) == DONE


@pytest.mark.row("G-11")
def test_a_blocked_password_cannot_be_chosen_again(app: Flask, browser: FlaskClient, build: Build) -> None:
    account = build.active(password_state=PasswordState.BLOCKED)
    page = choose(browser, mailed_link(app, browser, account), KNOWN)
    assert "C’est votre mot de passe actuel" in page.text
    assert heading(submit(browser, page, nouveau=CHOSEN, confirmation=CHOSEN)) == DONE
    after = read_account_row(account)
    assert after["password_state"] is PasswordState.USABLE
    assert Hasher(build.settings).verify(after["password_hash"], CHOSEN, "sign_in")
    assert enters(app, account, CHOSEN)


@pytest.mark.row("W-02")
def test_browser_that_chose_the_password_is_not_rate_limited_by_guesses(
    app: Flask, browser: FlaskClient, parent: Account
) -> None:
    assert heading(choose(browser, mailed_link(app, browser, parent))) == DONE
    assert sign_in(browser, "/mon-compte", parent.username, "faux").status_code == 200, "nobody was signed in"
    username = parent.username
    release_connection()
    while isinstance(guard.take(limits.SIGN_IN_ACCOUNT, username), guard.Granted):
        pass
    assert sign_in(app.test_client(), "/connexion", username, CHOSEN).status_code == 429
    assert heading(sign_in(browser, "/connexion", username, CHOSEN)) == "Gérer mon compte"


def test_a_mailbox_is_not_filled_with_the_same_notice(app: Flask, parent: Account) -> None:
    for _ in range(14):
        notices.tell(Notice.NEW_DEVICE, parent.id, device="phone/Android/Chrome")
    notices.tell(Notice.LETTER_LINKED, parent.id)
    db.session.commit()
    with post_office(app) as office:
        mails = office.deliver()
    subjects = [str(mail["Subject"]) for mail in mails]
    assert len(subjects) == 11, "ten of one kind in an hour, and what is told once"
    assert "Un courrier est ajouté à votre compte" in subjects


_CROWD = 8


@pytest.mark.row("G-12")
def test_concurrent_new_passwords_succeed_once_and_send_one_mail(
    app: Flask, browser: FlaskClient, build: Build, parent: Account
) -> None:
    link, before = mailed_link(app, browser, parent), read_account_row(parent)
    forms = []
    for number in range(_CROWD):
        visitor = app.test_client()
        chosen = f"orage brique hamster {number} violon"
        forms.append(form(visitor, visitor.get(link), nouveau=chosen, confirmation=chosen))
    sent = at_once(build.settings, forms)
    assert sorted(answer["status"] for answer in sent) == [200] * (_CROWD - 1) + [303]
    assert all(USED in answer["text"] for answer in sent if answer["status"] == 200)
    after = read_account_row(parent)
    assert after["generation"] == before["generation"] + 1
    right = [
        visitor["data"]["nouveau"]
        for visitor in forms
        if Hasher(build.settings).verify(after["password_hash"], visitor["data"]["nouveau"], "sign_in")
    ]
    assert len(right) == 1
    assert len(outbox(NOTICE)) == 1
    assert len(journal("password.reset")) == 1


@pytest.mark.row("G-13")
def test_concurrent_requests_are_accepted_once(app: Flask, build: Build, parent: Account) -> None:
    forms = []
    for _ in range(_CROWD):
        visitor = app.test_client()
        forms.append(form(visitor, visitor.get(PASSWORD), identifiant=parent.username))
    sent = at_once(build.settings, forms)
    assert sorted(answer["status"] for answer in sent) == [303] + [429] * (_CROWD - 1)
    assert len(outbox(RESET_REQUESTED)) == 1
