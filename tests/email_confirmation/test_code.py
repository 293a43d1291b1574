"""The code of the mail: five tries, the browser that activated, one session; and who is signed in by the link."""

import json
import secrets
import uuid
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from idp.accounts import one_time_links
from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account
from idp.accounts.one_time_links import OneTimeLink
from idp.accounts.passwords.hasher import fold_provisional
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.sessions.models import Session
from idp.throttle import limits
from tests.activation.race import HOST
from tests.activation.steps import CHOSEN, LOST, SENT, activate, newest_code, newest_link, read_state
from tests.builders import PASSWORD, PROVISIONAL, Build, add_contest, commit
from tests.closed import suspend
from tests.databases import settings_for
from tests.my_account.changes import at_once, form
from tests.pages import cookie_value, follow, form_token, heading, sign_in, submit
from tests.relying_party import Attempt, RelyingParty

_CONFIRMED = "Confirmation de votre adresse mail"
_ACCOUNT = "Gérer mon compte"
_SPENT = "Ce code ne sert plus"
_TOO_OLD = "Ce message est trop vieux"


def _other(code: str, n: int = 1) -> str:
    return f"{(int(code) + n) % 10**6:06}"


@pytest.mark.row("V-23")
def test_the_code_signs_in_the_browser_that_activated_and_shows_the_button_of_the_ent(
    browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    account, attempt = build.never_activated(), Attempt()
    waiting = activate(browser, account, ent.url(attempt))
    assert newest_code(build.settings, account.id) not in waiting.text
    code = newest_code(build.settings, account.id)
    typed = f" {code[:3]}\u202f{code[3:]} "
    done = submit(browser, browser.get(waiting.request.full_path), code=typed)
    assert heading(done) == _CONFIRMED
    assert "C’est activé" in done.text
    assert "Vous êtes connecté" in done.text
    assert '<a class="btn" href="https://ent.test/">Accéder à l’ENT</a>' in done.text
    tokens = ent.tokens(browser, ent.answer(browser.get(ent.url(attempt)))["code"], attempt)
    assert tokens["claims"]["amr"] == ["pwd"]
    [session] = db.session.scalars(select(Session)).all()
    stored = db.session.get_one(Account, account.id)
    assert (session.account_id, session.acr, session.auth_time) == (account.id, "pwd", stored.activated_at)
    assert stored.last_sign_in_at is not None
    kinds = db.session.scalars(select(AuditEntry.kind).where(AuditEntry.account_id == account.id)).all()
    assert {"email.confirmed", "sign_in"} <= set(kinds)
    assert browser.get_cookie("__Host-dv", domain=HOST) is not None
    assert "Téléphone" in (page := browser.get("/mon-compte/sessions").text) or "appareil" in page


def test_a_text_that_is_no_code_is_no_try(browser: FlaskClient, build: Build, newcomer: Account) -> None:
    waiting = activate(browser, newcomer)
    for typed in ("", "12345", "1234567", "abcdef", "-12345", "1" * 500):
        page = submit(browser, browser.get(waiting.request.full_path), code=typed)
        assert (page.status_code, heading(page)) == (200, SENT)
        assert page.text.count("Tapez les six chiffres du code écrit dans le message.") == 2
    arabic = newest_code(build.settings, newcomer.id).translate({ord("0") + n: 0x660 + n for n in range(10)})
    assert heading(submit(browser, page, code=arabic)) == _CONFIRMED, "the digits of another script are the same code"


@pytest.mark.row("V-22")
def test_five_wrong_codes_end_the_code_and_the_link_still_works(
    browser: FlaskClient, build: Build, newcomer: Account
) -> None:
    waiting = activate(browser, newcomer)
    code = newest_code(build.settings, newcomer.id)
    page = browser.get(waiting.request.full_path)
    for n, sentence in enumerate(("4 essais", "3 essais", "2 essais", "1 essai.", _SPENT), start=1):
        page = submit(browser, page, code=_other(code, n))
        assert sentence in page.text.replace("\xa0", " ")
        assert (f'value="{_other(code, n)}' in page.text) == (n < 5), "the person sees what was typed"
    later = browser.get(waiting.request.full_path)
    for shown in (page, later, submit(browser, page, code=code)):
        assert heading(shown) == _SPENT
        assert ("<title>Erreur" in shown.text) == (shown is not later), "opening the page is no error"
        assert "Rien reçu" not in shown.text, "the message arrived"
        assert shown.text.count('role="alert"') == 1
        assert 'name="code"' not in shown.text, "no field for what is not accepted"
        assert "Tapez son code" not in shown.text
        assert "data-poll" in shown.text, "the link leads on"
    assert read_state(newcomer.id).email is None
    spent = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "email.code_spent")).all()
    assert len(spent) == 1
    assert heading(submit(browser, browser.get(newest_link(build.settings, newcomer.id)))) == _CONFIRMED


@pytest.mark.row("V-22")
def test_a_new_mail_has_a_new_code_and_ends_the_former(browser: FlaskClient, build: Build, newcomer: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        waiting = activate(browser, newcomer)
        former = newest_code(build.settings, newcomer.id)
        for n in range(1, 6):
            submit(browser, browser.get(waiting.request.full_path), code=_other(former, n))
        clock.shift(timedelta(seconds=61))
        page = submit(browser, browser.get(waiting.request.full_path))
        assert "Le code et le lien du message précédent ne marchent plus." in page.text
        code = newest_code(build.settings, newcomer.id)
        assert code != former
        assert "Il reste 4 essais" in submit(browser, page, code=former).text
        assert heading(submit(browser, page, code=code)) == _CONFIRMED


@pytest.mark.row("V-22")
def test_a_code_expires_with_its_link(browser: FlaskClient, build: Build, newcomer: Account) -> None:
    waiting = activate(browser, newcomer)
    code = newest_code(build.settings, newcomer.id)
    commit(update(OneTimeLink).values(expires_at=now()))
    page = submit(browser, browser.get(waiting.request.full_path), code=code)
    assert heading(page) == _TOO_OLD
    assert "Son code et son lien ne servent plus" in page.text
    assert 'name="code"' not in page.text
    assert read_state(newcomer.id).email is None


@pytest.mark.parametrize("n", [0, 5])
def test_a_sign_in_that_meets_a_dead_code_or_message_shows_no_error(
    app: Flask, browser: FlaskClient, build: Build, n: int, newcomer: Account
) -> None:
    waiting = activate(browser, newcomer)
    code = newest_code(build.settings, newcomer.id)
    for wrong in range(1, n + 1):
        submit(browser, browser.get(waiting.request.full_path), code=_other(code, wrong))
    if not n:
        commit(update(OneTimeLink).values(expires_at=now()))
    page = sign_in(app.test_client(), "/connexion", newcomer.username, CHOSEN)
    title = _SPENT if n else _TOO_OLD
    assert heading(page) == title
    assert f"<title>{title}" in page.text


@pytest.mark.row("V-22")
def test_a_code_is_refused_in_another_browser_and_for_another_activation(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account, other = build.never_activated(), build.never_activated()
    waiting = activate(browser, account)
    stranger = app.test_client()
    theirs = activate(stranger, other, mail="autre@exemple.fr")
    code = newest_code(build.settings, account.id)
    data = {"csrf_token": form_token(theirs), "code": code}
    lost = stranger.post(waiting.request.full_path, data=data)
    assert (lost.status_code, heading(lost)) == (400, LOST)
    refused = stranger.post(theirs.request.full_path, data=data)
    assert code == newest_code(build.settings, other.id) or "Il reste 4 essais" in refused.text
    assert (read_state(account.id).email, read_state(other.id).email) == (None, None)
    assert not cookie_value(stranger)


@pytest.mark.row("V-22")
def test_many_mails_give_no_more_tries_than_the_accounts_limit(
    browser: FlaskClient, build: Build, newcomer: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        activate(browser, newcomer)
        sign_in(browser, "/connexion", newcomer.username, CHOSEN)
        for n in range(limits.EMAIL_CODE_ACCOUNT.windows[0].tries):
            if n and n % 5 == 0:
                clock.shift(timedelta(seconds=61))
                submit(browser, browser.get("/adresse/confirmation"))
            submit(browser, browser.get("/adresse/confirmation"), code=_other(newest_code(build.settings, newcomer.id)))
        clock.shift(timedelta(seconds=61))
        page = submit(browser, browser.get("/adresse/confirmation"))
        held = submit(browser, page, code=newest_code(build.settings, newcomer.id))
        assert (held.status_code, "Trop de codes faux." in held.text) == (429, True)
        assert int(held.headers["Retry-After"]) > 0


def test_the_person_of_a_session_confirms_with_the_code(app: Flask, build: Build, newcomer: Account) -> None:
    # The next day, or on another device: the password opened the session, which stays the same.
    activate(app.test_client(), newcomer)
    phone = app.test_client()
    page = sign_in(phone, "/connexion", newcomer.username, CHOSEN)
    before = cookie_value(phone)
    assert heading(submit(phone, page, code=newest_code(build.settings, newcomer.id))) == _CONFIRMED
    assert cookie_value(phone) == before


@pytest.mark.row("V-23")
def test_the_link_signs_in_the_browser_that_activated(
    browser: FlaskClient, build: Build, ent: RelyingParty, newcomer: Account
) -> None:
    activate(browser, newcomer, ent.url(Attempt()))
    question = browser.get(newest_link(build.settings, newcomer.id))
    assert not cookie_value(browser), "a GET signs nobody in"
    for _ in range(2):  # a double click sees the same page
        page = submit(browser, question)
        assert heading(page) == _CONFIRMED
        assert "C’est activé" in page.text
        assert "Vous êtes connecté" in page.text
        assert "provisoire" not in page.text
    assert read_state(newcomer.id).sessions == 1
    assert "code" in ent.answer(browser.get(ent.url(Attempt())))


@pytest.mark.row("V-23")
def test_the_link_of_an_attackers_activation_signs_no_victim_in(app: Flask, browser: FlaskClient, build: Build) -> None:
    # Login CSRF: the victim activated an account of their own a moment ago, in the browser that opens the link.
    attacker, victim = build.never_activated(), build.never_activated()
    activate(app.test_client(), attacker, mail="victime@exemple.fr")
    activate(browser, victim, mail="victime@exemple.fr")
    page = submit(browser, browser.get(newest_link(build.settings, attacker.id)), mot_de_passe=CHOSEN[::-1], ici="1")
    assert heading(page) == "Confirmez votre adresse mail", "the victim does not have the attacker's password"
    assert not cookie_value(browser)
    assert (read_state(attacker.id).email, read_state(attacker.id).sessions) == (None, 0)


@pytest.mark.row("V-23")
def test_no_session_is_replaced_by_an_activation(app: Flask, browser: FlaskClient, build: Build) -> None:
    # Another parent signed in, in another tab of the browser, before the link was opened in it.
    account, other = build.never_activated(), build.active()
    waiting = activate(browser, account)
    sign_in(browser, "/connexion", other.username, PASSWORD)
    session = cookie_value(browser)
    page = submit(browser, browser.get(newest_link(build.settings, account.id)))
    assert heading(page) == _CONFIRMED
    assert "Vous êtes connecté" not in page.text
    assert (heading(browser.get(waiting.request.full_path)), cookie_value(browser)) == (LOST, session)
    assert read_state(account.id).sessions == 0


def _contest(account_id: uuid.UUID) -> None:
    db.session.execute(update(Account).where(Account.id == account_id).values(password_state=PasswordState.BLOCKED))
    add_contest(account_id, now())


def _reset(account_id: uuid.UUID) -> None:
    db.session.get_one(Account, account_id).credentials_changed()


def _block(account_id: uuid.UUID) -> None:
    db.session.execute(update(Account).where(Account.id == account_id).values(password_state=PasswordState.BLOCKED))


@pytest.mark.row("V-23")
@pytest.mark.parametrize("closes", [suspend, _contest, _reset, _block])
def test_an_account_that_changed_since_the_confirmation_opens_no_session(
    app: Flask, browser: FlaskClient, build: Build, closes: object, newcomer: Account
) -> None:
    waiting = activate(browser, newcomer)
    phone = app.test_client()
    submit(phone, phone.get(newest_link(build.settings, newcomer.id)), mot_de_passe=CHOSEN)
    closes(newcomer.id)  # type: ignore[operator]
    db.session.commit()
    page = browser.get(waiting.request.full_path)
    assert heading(page) in {_CONFIRMED, LOST}
    assert "Vous êtes connecté" not in page.text
    assert not cookie_value(browser)
    assert read_state(newcomer.id).sessions == 0


@pytest.mark.row("V-23")
def test_a_letter_that_was_used_again_meanwhile_ends_the_former_activation(
    app: Flask, browser: FlaskClient, build: Build, newcomer: Account
) -> None:
    former, code = activate(browser, newcomer), newest_code(build.settings, newcomer.id)
    stored = db.session.get_one(Account, newcomer.id)
    stored.activated_at = stored.activated_in = stored.pending_email = None
    stored.provisional_hash = build.hash(fold_provisional(PROVISIONAL))
    stored.provisional_expires_at = now() + timedelta(days=1)
    stored.credentials_changed()
    db.session.commit()
    activate(app.test_client(), newcomer, mail="autre@exemple.fr")
    page = browser.post(former.request.full_path, data={"csrf_token": form_token(former), "code": code})
    assert (page.status_code, heading(page)) == (400, LOST)
    assert read_state(newcomer.id).email is None


@pytest.mark.row("V-23")
def test_the_state_tells_the_waiting_page_alone(
    app: Flask, browser: FlaskClient, build: Build, newcomer: Account
) -> None:
    with time_machine.travel(now(), tick=False):  # the page signs the request again, with the time in it
        waiting = activate(browser, newcomer)
    place = waiting.request.full_path.replace("/confirmation?", "/confirmation/etat?")
    assert place.replace("&", "&amp;") in waiting.text
    assert browser.get(place).get_json() == {"state": "waiting"}
    assert app.test_client().get(place).status_code == 400
    phone = app.test_client()
    submit(phone, phone.get(newest_link(build.settings, newcomer.id)), mot_de_passe=CHOSEN)
    before = read_state(newcomer.id)
    assert browser.get(place).get_json() == {"state": "confirmed"}
    assert browser.head(waiting.request.full_path).status_code == 200
    assert read_state(newcomer.id) == before, "asking signs nobody in"
    assert heading(follow(browser, browser.get(waiting.request.full_path))) == _ACCOUNT


def test_elsewhere_the_sign_in_page_has_the_identifier_until_somebody_signs_in(
    app: Flask, browser: FlaskClient, build: Build, newcomer: Account
) -> None:
    waiting = activate(browser, newcomer)
    phone, link = app.test_client(), newest_link(build.settings, newcomer.id)
    question = phone.get(link)
    assert newcomer.username not in phone.get("/connexion").text, "the link alone tells nothing"
    done = submit(phone, question, mot_de_passe=CHOSEN)
    assert newcomer.username not in done.text
    assert "L’autre appareil continue tout seul." in done.text
    assert heading(follow(browser, browser.get(waiting.request.full_path))) == _ACCOUNT, "the first device enters"
    page = phone.get("/connexion")
    assert f'value="{newcomer.username}"' in page.text
    assert "provisoire" not in page.text
    assert newcomer.username not in app.test_client().get("/connexion").text
    assert heading(submit(phone, page, identifiant=newcomer.username, mot_de_passe=CHOSEN)) == _ACCOUNT
    submit(phone, phone.get("/logout"))
    assert newcomer.username not in phone.get("/connexion").text


@pytest.mark.row("V-22")
def test_concurrent_wrong_codes_are_five_tries_and_the_right_one_opens_one_session(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account, guessed = build.never_activated(), build.never_activated()
    waiting = activate(browser, account)
    right = newest_code(build.settings, account.id)
    answers = at_once(build.settings, [form(browser, waiting, code=right)] * 8)
    assert all(answer["status"] in {200, 303} for answer in answers)
    assert (read_state(account.id).sessions, read_state(account.id).email) == (1, "noemie@exemple.fr")

    stranger = app.test_client()
    page = activate(stranger, guessed, mail="autre@exemple.fr")
    code = newest_code(build.settings, guessed.id)
    answers = at_once(build.settings, [form(stranger, page, code=_other(code, n)) for n in range(1, 9)])
    left = sorted("Il reste" in answer["text"] for answer in answers)
    assert left == [False] * 4 + [True] * 4, "the fifth and all later ones are told that the code is spent"
    assert _SPENT in submit(stranger, stranger.get(page.request.full_path), code=code).text
    assert read_state(guessed.id).email is None


@pytest.mark.row("V-22")
def test_a_copy_of_the_database_has_no_code(browser: FlaskClient, build: Build, newcomer: Account) -> None:
    activate(browser, newcomer)
    code = newest_code(build.settings, newcomer.id)
    row = db.session.scalars(select(OneTimeLink)).one()
    assert code not in json.dumps({column.name: str(getattr(row, column.name)) for column in row.__table__.columns})
    other = settings_for(build.settings.database_url, secret_key=secrets.token_urlsafe(32))
    assert one_time_links.code(other, row) is None
