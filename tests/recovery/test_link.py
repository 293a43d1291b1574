"""G rows about the link of the mail: what it is bound to, when it is dead, and what using it does."""

import hashlib
import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from urllib.parse import urlencode

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text
from werkzeug.test import TestResponse

from idp.accounts import notices, tokens
from idp.accounts.models import Account, OneTimeLink
from idp.accounts.notices import Notice
from idp.accounts.passwords import Hasher
from idp.accounts.tokens import LinkState, Purpose
from idp.clock import now
from idp.db import Base, db, end_read
from idp.sessions.manager import SESSIONS_ENDED
from idp.throttle import guard, limits
from tests.activation.steps import activate, newest_link
from tests.builders import PASSWORD as KNOWN
from tests.builders import Build
from tests.email_confirmation.post import html_of, post_office, text_of
from tests.pages import follow, form_token, heading, sign_in, submit
from tests.protocol.flow import OFFLINE, refused
from tests.recovery.steps import (
    CHOSEN,
    DEAD,
    DONE,
    FORM,
    HOST,
    OTHER,
    USED,
    WAIT,
    answers,
    ask_password,
    choose,
    journal,
    link_of,
    mailed_link,
    outbox,
    stored,
    token_of,
)
from tests.relying_party import Attempt, RelyingParty

_ACCOUNT = "Gérer mon compte"
_WEAK = "court"


def _enters(app: Flask, account: Account, password: str) -> bool:
    return heading(sign_in(app.test_client(), "/connexion", account.username, password)) == _ACCOUNT


def test_g02_a_new_password_needs_the_token_of_the_mail_and_nothing_else_will_do(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account = build.active()
    ask_password(browser, account.username)
    [request] = outbox("recovery.password")
    guesses = ["A" * 43, "null", "undefined", "0", "[]", "%00", str(request.id), request.id.hex, str(account.id)]
    guesses += [account.username, "token[]=x", "x" * 5000]
    before = stored(account)
    fields = {"nouveau": CHOSEN, "confirmation": CHOSEN, "identifiant": account.username, "account": str(account.id)}
    for guess in guesses:
        data = {**token_of(browser), **fields, "token": str(request.id), "token[]": "x"}
        answer = browser.post(f"/mot-de-passe/lien/{guess}", data=data)
        assert answer.status_code == 410, guess
        assert heading(answer) == DEAD
    for place in ("/mot-de-passe/lien/", "/mot-de-passe/lien", "/mot-de-passe/change", "/mot-de-passe"):
        assert browser.post(place, data={**token_of(browser), **fields}).status_code in {404, 405}
    assert stored(account) == before
    with post_office(app) as office:
        [mail] = office.deliver()
    assert stored(account) == before, "a link that nobody opened changes nothing"
    assert heading(choose(browser, link_of(mail))) == DONE


def test_g03_the_account_comes_from_the_token_alone(app: Flask, browser: FlaskClient, build: Build) -> None:
    own, other = build.active(email="a@exemple.fr"), build.active(email="b@exemple.fr")
    link, before = mailed_link(app, browser, own), stored(other)
    page = browser.get(link)
    assert own.username not in page.text
    data = {"csrf_token": form_token(page), "nouveau": CHOSEN, "confirmation": CHOSEN}
    data |= {"identifiant": other.username, "username": other.username, "user_id": str(other.id)}
    data |= {"account": str(other.id), "account_id": str(other.id)}
    answer = browser.post(f"{link}?user_id={other.id}&identifiant={other.username}", data=data)
    assert heading(follow(browser, answer)) == DONE
    assert stored(other) == before
    assert _enters(app, own, CHOSEN)
    assert _enters(app, other, KNOWN)


def test_g05_only_the_link_of_the_last_request_works(app: Flask, browser: FlaskClient, build: Build) -> None:
    account = build.active()
    with time_machine.travel(now(), tick=False) as clock:
        first = mailed_link(app, browser, account)
        clock.shift(timedelta(seconds=61))
        second = mailed_link(app, browser, account)
        assert first != second
        assert heading(browser.get(first)) == DEAD
        assert heading(submit(browser, browser.get(second), nouveau=CHOSEN, confirmation=CHOSEN)) == DONE


def _set(**values: object) -> Callable[[Account], None]:
    def change(account: Account) -> None:
        row = db.session.get_one(Account, account.id)
        for name, value in values.items():
            setattr(row, name, value() if callable(value) else value)
        db.session.commit()

    return change


def _nothing(_account: Account) -> None:
    pass


_DEATHS: dict[str, tuple[Callable[[Account], None], int]] = {
    "expired": (_nothing, 30 * 60),
    "password changed": (_set(generation=2), 0),
    "address changed": (_set(email="nouvelle@exemple.fr"), 0),
    "disabled": (_set(disabled_at=now), 0),
    "merged": (lambda account: _set(merged_into_id=account.id)(account), 0),
    "frozen": (_set(recovery_frozen_until=lambda: now() + timedelta(hours=72)), 0),
}


@pytest.mark.parametrize("death", _DEATHS)
def test_g06_a_dead_link_is_told_before_the_password_is_looked_at(
    app: Flask, browser: FlaskClient, build: Build, death: str
) -> None:
    account = build.active()
    change, seconds = _DEATHS[death]
    with time_machine.travel(now(), tick=False) as clock:
        link = mailed_link(app, browser, account)
        page = browser.get(link)
        if seconds:
            clock.shift(timedelta(seconds=seconds - 1))
            assert heading(browser.get(link)) == FORM, "the last second counts"
            clock.shift(timedelta(seconds=1))
        change(account)
        before = stored(account)
        for password in (_WEAK, CHOSEN):
            answer = submit(browser, page, nouveau=password, confirmation=password)
            assert (answer.status_code, heading(answer)) == (410, DEAD)
            assert "caractères" not in answer.text
        assert browser.get(link).status_code == 410
        assert stored(account) == before


def test_g06_a_used_link_says_so_to_whoever_clicks_twice_and_changes_nothing(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account = build.active()
    link = mailed_link(app, browser, account)
    page = browser.get(link)
    assert heading(submit(browser, page, nouveau=CHOSEN, confirmation=CHOSEN)) == DONE
    before = stored(account)
    for password in (CHOSEN, OTHER, _WEAK):
        again = submit(browser, page, nouveau=password, confirmation=password)
        assert (again.status_code, heading(again)) == (200, USED)
    opened = app.test_client().get(link)
    assert heading(opened) == USED
    assert 'href="/connexion"' in opened.text
    assert account.username not in opened.text
    assert stored(account) == before


@pytest.mark.parametrize("entrance", ["https://ent.test/", "https://ent.test/entrer"])
def test_whoever_chose_a_new_password_goes_on_to_the_ent(
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


def _way_on(page: TestResponse) -> list[tuple[str, str]]:
    """Return the buttons of a page that lead on: what is written on each, and where it leads."""
    found = re.findall(r'<a class="btn" href="([^"]+)">(.*?)</a>', page.text)
    return [(text, unescape(address)) for address, text in found]


def _told(build: Build) -> str:
    return urlencode({"iss": build.settings.issuer, "target_link_uri": "https://ent.test/"})


@pytest.mark.parametrize("named", ["", "?ent=", "?ent=nobody", "?ent=https://evil.test/", "?ent=x&ent=y", "?ent=%00"])
def test_without_an_ent_that_is_registered_the_way_on_is_the_sign_in(browser: FlaskClient, named: str) -> None:
    assert _way_on(browser.get(f"/mot-de-passe/change{named}")) == [("Se connecter", "/connexion")]


def test_g06_opening_the_link_uses_nothing_however_often_and_whoever_opens_it(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account = build.active()
    link, before = mailed_link(app, browser, account), stored(account)
    for headers in ({}, {"Sec-Purpose": "prefetch"}, {"User-Agent": "MailScanner/1.0"}):
        scanner = app.test_client()
        assert heading(scanner.get(link, headers=headers)) == FORM
        assert scanner.head(link).status_code == 200
        assert scanner.post(link).status_code == 400, "a scanner that sends forms has no form token"
    assert stored(account) == before
    assert heading(choose(browser, link)) == DONE


def test_g07_everything_of_before_ends_and_nobody_is_signed_in(app: Flask, build: Build) -> None:
    account, ent = build.active(email="noemie@exemple.fr"), build.ent(scopes=OFFLINE)
    phone, attempt = app.test_client(), Attempt()
    answer = ent.answer(sign_in(phone, ent.url(attempt, scope=OFFLINE), account.username, KNOWN))
    granted = ent.tokens(phone, answer["code"], attempt)
    change, contest = (_issue(build, account, purpose) for purpose in (Purpose.CHANGE_EMAIL, Purpose.CONTEST_EMAIL))
    browser = app.test_client()
    link = mailed_link(app, browser, account)
    done = choose(browser, link)
    assert (heading(done), done.request.path) == (DONE, "/mot-de-passe/change")
    assert "tous vos appareils ont été déconnectés" in done.text
    assert browser.get_cookie("__Host-ss", domain=HOST) is None
    for one in (browser, phone):
        assert heading(follow(one, one.get("/mon-compte"))) == "Connexion"
    refused(ent.refresh(phone, granted["refresh_token"]), "invalid_grant")
    assert ent.userinfo(phone, granted["access_token"]).status_code == 401
    assert tokens.look_up(Purpose.CHANGE_EMAIL, change).state is LinkState.DEAD
    assert tokens.look_up(Purpose.CONTEST_EMAIL, contest).state is LinkState.ALIVE, "« Ce n’était pas moi » outlives it"
    [told] = outbox(SESSIONS_ENDED)
    assert len(told.payload["sessions"]) == 1
    with post_office(app) as office:
        [notice] = office.deliver()
    assert (notice["To"], notice["Subject"]) == ("noemie@exemple.fr", "Votre mot de passe a changé")
    for part in (text_of(notice), html_of(notice)):
        assert f"Le mot de passe du compte {account.username} a été changé le" in part
        assert "http" not in part
    assert [entry.account_id for entry in journal("password.reset")] == [account.id]
    assert [entry.details["by"] for entry in journal("sessions.ended")] == ["password_reset"]
    assert _enters(app, account, CHOSEN)
    assert not _enters(app, account, KNOWN)


def _issue(build: Build, account: Account, purpose: Purpose) -> str:
    link = tokens.issue(build.settings, purpose, account, address="x@exemple.fr", lifetime=timedelta(hours=72))
    value = tokens.token(build.settings, link)
    db.session.commit()
    assert value is not None
    return value


def test_g07_a_change_of_address_that_waits_is_given_up(app: Flask, browser: FlaskClient, build: Build) -> None:
    account = build.active(email="noemie@exemple.fr", pending_email="intrus@exemple.fr")
    choose(browser, mailed_link(app, browser, account))
    after = stored(account)
    assert (after["email"], after["pending_email"]) == ("noemie@exemple.fr", None)


def test_g07_whoever_was_signed_in_on_that_browser_leaves_it(app: Flask, browser: FlaskClient, build: Build) -> None:
    karim, noemie = build.active(email="k@exemple.fr"), build.active(email="n@exemple.fr")
    sign_in(browser, "/connexion", karim.username, KNOWN)
    cookie = browser.get_cookie("__Host-ss", domain=HOST)
    assert cookie is not None
    assert heading(choose(browser, mailed_link(app, browser, noemie))) == DONE
    assert browser.get_cookie("__Host-ss", domain=HOST) is None
    browser.set_cookie("__Host-ss", cookie.value, domain=HOST, secure=True)
    assert heading(follow(browser, browser.get("/mon-compte"))) == "Connexion"


def test_g08_an_account_that_is_held_back_is_reset_and_then_free(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account = build.active()
    with time_machine.travel(now(), tick=False):
        for _ in range(6):
            wrong = sign_in(app.test_client(), "/connexion", account.username, "faux")
        assert (wrong.status_code, "Un peu de patience" in wrong.text) == (429, True)
        assert not _enters(app, account, KNOWN)
        assert heading(choose(browser, mailed_link(app, browser, account))) == DONE
        assert _enters(app, account, CHOSEN)


def test_g10_the_token_is_long_stored_as_a_digest_and_good_for_one_purpose(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account = build.active()
    link = mailed_link(app, browser, account)
    token = link.rpartition("/")[2]
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token), "256 bits"
    rows = db.session.scalars(select(OneTimeLink).where(OneTimeLink.account_id == account.id)).all()
    assert [row.digest for row in rows] == [hashlib.sha256(token.encode()).digest()]
    for table in Base.metadata.sorted_tables:
        for row in db.session.execute(text(f'SELECT * FROM "{table.name}"')):  # noqa: S608 - names of our own tables
            assert token not in str(tuple(row)), table.name
            assert token.encode() not in [bytes(value) for value in row if isinstance(value, bytes | memoryview)]
    assert browser.get(f"/adresse/lien/{token}").status_code == 410
    assert browser.get(link.lower()).status_code == 410
    fresh = build.never_activated()
    activate(app.test_client(), fresh, mail="autre@exemple.fr")
    confirmation = newest_link(build.settings, fresh.id).rpartition("/")[2]
    assert browser.get(f"/mot-de-passe/lien/{confirmation}").status_code == 410
    assert heading(browser.get(link)) == FORM


@pytest.mark.parametrize(
    ("password", "again", "reason"),
    [
        (_WEAK, None, "Il faut 12 caractères au moins"),
        ("x" * 129, None, "Ce mot de passe dépasse 128 caractères"),
        ("Noémie et ses vélos", None, "Ce mot de passe contient votre nom ou votre prénom"),
        ("Malo et ses grands vélos", None, "Ce mot de passe contient le prénom de votre enfant"),
        (CHOSEN, OTHER, "Les deux mots de passe ne sont pas les mêmes"),
        (CHOSEN, "", "Les deux mots de passe ne sont pas les mêmes"),
        ("", None, "Il faut 12 caractères au moins"),
    ],
)
def test_g11_a_refused_password_leaves_the_link_alive(
    app: Flask, browser: FlaskClient, build: Build, password: str, again: str | None, reason: str
) -> None:
    account = build.active()
    link = mailed_link(app, browser, account)
    page = choose(browser, link, password, again)
    assert (page.status_code, heading(page)) == (200, FORM)
    assert reason in page.text
    assert "<title>Erreur\u00a0:" in page.text
    assert not password or f'value="{password}"' not in page.text
    assert account.username not in page.text
    assert stored(account)["generation"] == 1
    assert heading(submit(browser, page, nouveau=CHOSEN, confirmation=CHOSEN)) == DONE


def test_g11_a_blocked_password_is_not_taken_again(app: Flask, browser: FlaskClient, build: Build) -> None:
    account = build.active(password_blocked_at=now())
    link = mailed_link(app, browser, account)
    page = choose(browser, link, KNOWN)
    assert "C’est votre mot de passe actuel" in page.text
    assert heading(submit(browser, page, nouveau=CHOSEN, confirmation=CHOSEN)) == DONE
    after = stored(account)
    assert after["password_blocked_at"] is None
    assert Hasher(build.settings).verify(after["password_hash"], CHOSEN, "sign_in")
    assert _enters(app, account, CHOSEN)


def test_a_blocked_password_at_sign_in_brings_the_link(app: Flask, browser: FlaskClient, build: Build) -> None:
    account = build.active(password_blocked_at=now())
    assert heading(sign_in(browser, "/connexion", account.username, KNOWN)) == FORM
    with post_office(app) as office:
        [mail] = office.deliver()
    assert answers() == ["blocked", "link"]
    assert heading(choose(browser, link_of(mail))) == DONE


def test_the_accents_of_another_keyboard_are_the_same_password(app: Flask, browser: FlaskClient, build: Build) -> None:
    account = build.active()
    composed, decomposed = "orage éléphant hamster", "orage e\u0301le\u0301phant hamster"
    assert heading(choose(browser, mailed_link(app, browser, account), composed, decomposed)) == DONE
    assert _enters(app, account, decomposed)


def test_who_tries_many_links_is_stopped_and_a_right_one_is_no_try(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    link = mailed_link(app, browser, build.active())
    data = {**token_of(browser), "nouveau": CHOSEN, "confirmation": CHOSEN}
    for number in range(30):
        place = f"/mot-de-passe/lien/{number:043}"
        answer = browser.post(place, data=data) if number % 2 else browser.get(place)
        assert answer.status_code == 410
    stopped = browser.get("/mot-de-passe/lien/" + "B" * 43)
    assert (stopped.status_code, heading(stopped)) == (429, WAIT)
    assert heading(browser.get(link)) == FORM


def test_the_page_of_the_link_gives_its_address_to_nobody(app: Flask, browser: FlaskClient, build: Build) -> None:
    link = mailed_link(app, browser, build.active())
    page = browser.get(link)
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"
    assert "http" not in page.text
    assert link.rpartition("/")[2] not in page.text, "the form goes back to the page's own address"


def test_a_dead_link_leads_to_a_new_one(browser: FlaskClient, build: Build, ent: RelyingParty) -> None:
    sign_in_page = follow(browser, browser.get(ent.url(Attempt())))
    place = f"/mot-de-passe/lien/{'A' * 43}?{sign_in_page.request.query_string.decode()}"
    for where in (place, place[:-9] + "x" * 9):
        dead = browser.get(where)
        assert (dead.status_code, heading(dead)) == (410, DEAD)
        assert "Recevoir un nouveau lien" in dead.text
    assert "/mot-de-passe-oublie?demande=" in browser.get(place).text


def test_w02_whoever_chose_the_password_here_does_not_wait_behind_those_who_guess_at_it(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account = build.active()
    assert heading(choose(browser, mailed_link(app, browser, account))) == DONE
    assert sign_in(browser, "/mon-compte", account.username, "faux").status_code == 200, "nobody was signed in"
    username = account.username
    end_read()
    while isinstance(guard.take(limits.SIGN_IN_ACCOUNT, username), guard.Granted):
        pass
    assert sign_in(app.test_client(), "/connexion", username, CHOSEN).status_code == 429
    assert heading(sign_in(browser, "/connexion", username, CHOSEN)) == "Gérer mon compte"


def test_a_mailbox_is_not_filled_with_the_same_notice(app: Flask, build: Build) -> None:
    account = build.active()
    for _ in range(14):
        notices.tell(Notice.NEW_DEVICE, account.id, device="phone/Android/Chrome")
    notices.tell(Notice.LETTER_LINKED, account.id)
    db.session.commit()
    with post_office(app) as office:
        mails = office.deliver()
    subjects = [str(mail["Subject"]) for mail in mails]
    assert len(subjects) == 11, "ten of one kind in an hour, and what is told once"
    assert "Un courrier est ajouté à votre compte" in subjects
