"""G rows about the link of the mail: what it is bound to, when it is dead, and what opening it does."""

import hashlib
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text, update

from idp.accounts import one_time_links
from idp.accounts.models import Account
from idp.accounts.one_time_links import OneTimeLink
from idp.clock import now
from idp.db import Base, db
from tests.activation.steps import activate, newest_link
from tests.builders import PASSWORD as KNOWN, Build, add_contest
from tests.email_confirmation.post import post_office
from tests.pages import follow, form_token, heading, submit
from tests.recovery.steps import (
    CHOSEN,
    DEAD,
    DONE,
    FORM,
    OTHER,
    USED,
    WAIT,
    WEAK,
    ask_password,
    choose,
    enters,
    link_of,
    mailed_link,
    outbox,
    read_account_row,
    token_of,
)
from tests.relying_party import Attempt, RelyingParty


@pytest.mark.row("G-02")
def test_a_new_password_needs_the_token_of_the_mail(app: Flask, browser: FlaskClient, parent: Account) -> None:
    ask_password(browser, parent.username)
    [request] = outbox("recovery.password")
    guesses = ["A" * 43, "null", "undefined", "0", "[]", "%00", str(request.id), request.id.hex, str(parent.id)]
    guesses += [parent.username, "token[]=x", "x" * 5000]
    before = read_account_row(parent)
    fields = {"nouveau": CHOSEN, "confirmation": CHOSEN, "identifiant": parent.username, "account": str(parent.id)}
    for guess in guesses:
        data = {**token_of(browser), **fields, "token": str(request.id), "token[]": "x"}
        answer = browser.post(f"/mot-de-passe/lien/{guess}", data=data)
        assert answer.status_code == 410, guess
        assert heading(answer) == (DEAD if len(guess) == len(guesses[0]) else "Ce lien est incomplet"), guess
        assert '<a class="btn" href="/mot-de-passe-oublie' in answer.text, guess
    for place in ("/mot-de-passe/lien/", "/mot-de-passe/lien", "/mot-de-passe/change", "/mot-de-passe"):
        assert browser.post(place, data={**token_of(browser), **fields}).status_code in {404, 405}
    assert read_account_row(parent) == before
    with post_office(app) as office:
        [mail] = office.deliver()
    assert read_account_row(parent) == before, "a link that nobody opened changes nothing"
    assert heading(choose(browser, link_of(mail))) == DONE


@pytest.mark.row("G-03")
def test_the_account_comes_from_the_token_alone(app: Flask, browser: FlaskClient, build: Build) -> None:
    own, other = build.active(email="a@exemple.fr"), build.active(email="b@exemple.fr")
    link, before = mailed_link(app, browser, own), read_account_row(other)
    page = browser.get(link)
    assert "<bdi>Noémie L.</bdi>" in page.text
    assert page.text.count(own.username) == 1, "for password managers, which file the new password under it"
    assert own.family_name not in page.text
    data = {"csrf_token": form_token(page), "nouveau": CHOSEN, "confirmation": CHOSEN}
    data |= {"identifiant": other.username, "username": other.username, "user_id": str(other.id)}
    data |= {"account": str(other.id), "account_id": str(other.id)}
    answer = browser.post(f"{link}?user_id={other.id}&identifiant={other.username}", data=data)
    assert heading(follow(browser, answer)) == DONE
    assert read_account_row(other) == before
    assert enters(app, own, CHOSEN)
    assert enters(app, other, KNOWN)


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
    "contested": (lambda account: add_contest(account.id, now(), "avant@exemple.fr"), 0),
}


@pytest.mark.row("G-06")
@pytest.mark.parametrize("death", _DEATHS)
def test_an_invalid_link_is_reported_before_the_password_is_checked(
    app: Flask, browser: FlaskClient, death: str, parent: Account
) -> None:
    change, seconds = _DEATHS[death]
    with time_machine.travel(now(), tick=False) as clock:
        link = mailed_link(app, browser, parent)
        page = browser.get(link)
        if seconds:
            clock.shift(timedelta(seconds=seconds - 1))
            assert heading(browser.get(link)) == FORM, "the last second counts"
            clock.shift(timedelta(seconds=1))
        change(parent)
        before = read_account_row(parent)
        for password in (WEAK, CHOSEN):
            answer = submit(browser, page, nouveau=password, confirmation=password)
            assert (answer.status_code, heading(answer)) == (410, DEAD)
            assert "caractères" not in answer.text
        assert browser.get(link).status_code == 410
        assert read_account_row(parent) == before


def test_a_link_that_another_request_uses_meanwhile_is_reported_as_used(
    app: Flask, browser: FlaskClient, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = browser.get(mailed_link(app, browser, build.active()))
    is_alive = one_time_links.is_alive

    def late(row: OneTimeLink) -> bool:
        with db.engine.begin() as other:
            other.execute(update(OneTimeLink).values(used_at=now()))
            other.execute(update(Account).values(generation=Account.generation + 1))
        return is_alive(row)

    monkeypatch.setattr(one_time_links, "is_alive", late)
    answer = submit(browser, page, nouveau=OTHER, confirmation=OTHER)
    assert (answer.status_code, heading(answer)) == (200, USED)


@pytest.mark.row("G-06")
def test_a_used_link_is_reported_on_the_second_click_and_changes_nothing(
    app: Flask, browser: FlaskClient, parent: Account
) -> None:
    link = mailed_link(app, browser, parent)
    page = browser.get(link)
    assert heading(submit(browser, page, nouveau=CHOSEN, confirmation=CHOSEN)) == DONE
    before = read_account_row(parent)
    for password in (CHOSEN, OTHER, WEAK):
        again = submit(browser, page, nouveau=password, confirmation=password)
        assert (again.status_code, heading(again)) == (200, USED)
    opened = app.test_client().get(link)
    assert heading(opened) == USED
    assert 'href="/connexion"' in opened.text
    assert parent.username not in opened.text
    assert read_account_row(parent) == before


@pytest.mark.row("G-06")
def test_opening_the_link_does_not_use_it(app: Flask, browser: FlaskClient, parent: Account) -> None:
    link, before = mailed_link(app, browser, parent), read_account_row(parent)
    for headers in ({}, {"Sec-Purpose": "prefetch"}, {"User-Agent": "MailScanner/1.0"}):
        scanner = app.test_client()
        page = scanner.get(link, headers=headers)
        assert heading(page) == FORM
        assert link.rpartition("/")[2] not in page.text, "the form goes back to the page's own address"
        assert scanner.head(link).status_code == 200
        assert scanner.post(link).status_code == 400, "a scanner that sends forms has no form token"
    assert read_account_row(parent) == before
    assert heading(choose(browser, link)) == DONE


@pytest.mark.row("G-10")
def test_the_token_is_long_stored_as_a_digest_and_good_for_one_purpose(
    app: Flask, browser: FlaskClient, build: Build, parent: Account
) -> None:
    link = mailed_link(app, browser, parent)
    token = link.rpartition("/")[2]
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token), "256 bits"
    rows = db.session.scalars(select(OneTimeLink).where(OneTimeLink.account_id == parent.id)).all()
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


def test_guesses_at_links_are_rate_limited_and_a_right_link_is_not_counted(
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


def test_an_invalid_link_leads_to_a_new_request(browser: FlaskClient, build: Build, ent: RelyingParty) -> None:
    sign_in_page = follow(browser, browser.get(ent.url(Attempt())))
    place = f"/mot-de-passe/lien/{'A' * 43}?{sign_in_page.request.query_string.decode()}"
    for where in (place, place[:-9] + "x" * 9):
        dead = browser.get(where)
        assert (dead.status_code, heading(dead)) == (410, DEAD)
        assert "Recevoir un nouveau lien" in dead.text
    assert "/mot-de-passe-oublie?demande=" in browser.get(place).text
