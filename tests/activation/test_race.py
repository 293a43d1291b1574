"""Z-03 and Z-04: concurrent activations in separate processes, and processes that are killed."""

import json
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts import emails
from idp.accounts.models import Account
from idp.accounts.one_time_links import Link
from idp.accounts.passwords.hasher import Hasher
from idp.db import db
from tests import forked, killing
from tests.activation.race import HOST
from tests.activation.steps import (
    ACTIVATION,
    DEAD_LETTER,
    EMAIL,
    SENT,
    AccountState,
    activate,
    fill_in,
    newest_link,
    open_activation,
    read_state,
)
from tests.builders import Build
from tests.databases import ISSUER
from tests.my_account.changes import at_once, form
from tests.pages import heading

_CROWD = 16


@pytest.mark.row("Z-03")
def test_concurrent_activations_succeed_once_and_send_one_mail(app: Flask, build: Build, newcomer: Account) -> None:
    forms = []
    for n in range(_CROWD):
        browser = app.test_client()
        browser.environ_base["REMOTE_ADDR"] = f"203.0.113.{n}"
        page = open_activation(browser, newcomer)
        chosen = f"orage brique hamster {n} violon"
        forms.append(form(browser, page, nouveau=chosen, confirmation=chosen, mail=f"p{n}@exemple.fr"))
    answers = at_once(build.settings, forms)
    assert sorted(answer["status"] for answer in answers) == [303] + [410] * (_CROWD - 1)
    assert all(DEAD_LETTER in answer["text"] for answer in answers if answer["status"] == 410)
    after = read_state(newcomer.id)
    assert (after.active, after.letter, after.links, after.mails, after.completions) == (True, False, 1, 1, 1)
    [winner] = [sent["data"] for sent in forms if sent["data"]["mail"] == after.pending]
    assert Hasher(build.settings).verify(after.password, winner["nouveau"], "sign_in")


@pytest.mark.row("Z-03")
def test_concurrent_clicks_on_one_form_all_see_the_result(
    browser: FlaskClient, build: Build, newcomer: Account
) -> None:
    chosen = "orage brique hamster violon"
    page = open_activation(browser, newcomer)
    sent = form(browser, page, nouveau=chosen, confirmation=chosen, mail="p@exemple.fr")
    answers = at_once(build.settings, [sent] * _CROWD)
    assert all(answer["status"] == 303 for answer in answers)
    assert all(answer["location"].startswith("/adresse/confirmation?") for answer in answers)
    after = read_state(newcomer.id)
    assert (after.links, after.mails, after.completions) == (1, 1, 1)


@pytest.mark.row("Z-04")
def test_both_clicks_on_the_link_say_confirmed(browser: FlaskClient, build: Build) -> None:
    accounts, forms = [], []
    for _ in range(4):
        account = build.never_activated()
        activate(browser, account, mail=f"{account.username}@exemple.fr")
        page = browser.get(newest_link(build.settings, account.id))
        accounts.append(account)
        forms += [form(browser, page)] * 2
    for answer in at_once(build.settings, forms):
        assert answer["status"] == 200
        assert "Votre compte a été validé." in answer["text"]
    assert [read_state(account.id).email for account in accounts] == [f"{a.username}@exemple.fr" for a in accounts]


@pytest.mark.row("Z-04")
def test_a_click_while_another_reads_the_link_leaves_it_confirmed(
    browser: FlaskClient, build: Build, monkeypatch: pytest.MonkeyPatch, newcomer: Account
) -> None:
    activate(browser, newcomer)
    sent = form(browser, browser.get(newest_link(build.settings, newcomer.id)))
    find, twin = emails.find_link, browser.application.test_client()
    for name, value in sent["cookies"].items():
        twin.set_cookie(name, value, domain=HOST, secure=True)

    def find_and_be_overtaken(value: str) -> Link:
        link = find(value)
        monkeypatch.undo()
        assert "Votre compte a été validé." in twin.post(sent["url"], base_url=ISSUER, data=sent["data"]).text
        return link

    monkeypatch.setattr(emails, "find_link", find_and_be_overtaken)
    answer = browser.post(sent["url"], data=sent["data"])
    assert "Votre compte a été validé." in answer.text


_MOST = {killing.WRITES: 25, killing.STATEMENTS: 60}
"""More accounts than there are points."""


def _untouched(state: AccountState) -> bool:
    return not state.active and state.letter and (state.links, state.mails, state.completions) == (0, 0, 0)


def _whole(state: AccountState) -> bool:
    return (
        state.active
        and not state.letter
        and state.pending == EMAIL
        and (state.links, state.mails, state.completions) == (1, 1, 1)
    )


@pytest.mark.parametrize("points", killing.POINTS)
@pytest.mark.row("Z-09")
def test_killed_at_any_statement_the_account_is_untouched_or_active_with_its_mail(
    app: Flask, build: Build, tmp_path: Path, points: str
) -> None:
    child = build.child()
    usernames = [build.never_activated(children=[child]).username for _ in range(_MOST[points])]
    order = (build.settings.database_url, str(tmp_path), points, *usernames)
    done = forked.run("tests.activation.killed", *order, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    story = json.loads(done.stdout)
    died_at = [chapter["killed_at"] for chapter in story]
    assert died_at[-1] == "", "the last one lived"
    assert all(died_at[:-1])
    assert any(text.startswith("UPDATE account") for text in died_at), died_at
    assert any(text.startswith("INSERT INTO outbox") for text in died_at), died_at
    assert "COMMIT" in died_at
    if build.settings.database_url.startswith("postgresql"):
        assert any(text.startswith("WITH") for text in died_at), "prepared statements are points too"

    states = []
    for n, chapter in enumerate(story):
        account = db.session.scalars(select(Account).where(Account.username == chapter["username"])).one()
        state = read_state(account.id)
        assert _untouched(state) or _whole(state), (chapter["killed_at"], state)
        states.append(state.active)
        if not state.active:
            browser = app.test_client()
            browser.environ_base["REMOTE_ADDR"] = f"203.0.113.{n}"
            page = open_activation(browser, account)
            assert heading(page) == ACTIVATION, "the letter is still good"
            assert heading(fill_in(browser, page, mail=f"p{n}@exemple.fr")) == SENT
    assert states == sorted(states), "once kept, kept"
    assert True in states[:-1], "somebody died after the commit"
    assert False in states
