"""Z-03 and Z-04: concurrent activations in separate processes."""

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.accounts import emails
from idp.accounts.one_time_links import Link
from idp.accounts.passwords.hasher import Hasher
from idp.db import db
from tests import forked
from tests.activation.race import HOST
from tests.activation.steps import DEAD_LETTER, activate, newest_link, open_activation, read_state
from tests.builders import Build
from tests.databases import ISSUER
from tests.pages import form_token

_CROWD = 16


def _form(browser: FlaskClient, page: TestResponse, **data: str) -> dict[str, Any]:
    cookie = browser.get_cookie("__Host-tx", domain=HOST)
    assert cookie is not None
    return {
        "cookies": {"__Host-tx": cookie.value},
        "url": page.request.full_path.rstrip("?"),
        "data": {"csrf_token": form_token(page), **data},
    }


def _at_once(build: Build, forms: list[dict[str, Any]]) -> list[dict[str, Any]]:
    db.session.rollback()
    order = json.dumps({"database": build.settings.database_url, "forms": forms})
    done = forked.run("tests.activation.race", stdin=order)
    assert done.returncode == 0, done.stderr[-3000:]
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


@pytest.mark.row("Z-03")
def test_concurrent_activations_succeed_once_and_send_one_mail(app: Flask, build: Build) -> None:
    account = build.never_activated()
    forms = []
    for n in range(_CROWD):
        browser = app.test_client()
        browser.environ_base["REMOTE_ADDR"] = f"203.0.113.{n}"
        page = open_activation(browser, account)
        chosen = f"orage brique hamster {n} violon"
        forms.append(_form(browser, page, nouveau=chosen, confirmation=chosen, mail=f"p{n}@exemple.fr"))
    answers = _at_once(build, forms)
    assert sorted(answer["status"] for answer in answers) == [303] + [410] * (_CROWD - 1)
    assert all(DEAD_LETTER in answer["text"] for answer in answers if answer["status"] == 410)
    after = read_state(account.id)
    assert (after.active, after.letter, after.links, after.mails, after.completions) == (True, False, 1, 1, 1)
    [winner] = [form["data"] for form in forms if form["data"]["mail"] == after.pending]
    assert Hasher(build.settings).verify(after.password, winner["nouveau"], "sign_in")


@pytest.mark.row("Z-03")
def test_concurrent_clicks_on_one_form_all_see_the_result(browser: FlaskClient, build: Build) -> None:
    account = build.never_activated()
    chosen = "orage brique hamster violon"
    page = open_activation(browser, account)
    answers = _at_once(build, [_form(browser, page, nouveau=chosen, confirmation=chosen, mail="p@exemple.fr")] * _CROWD)
    assert all(answer["status"] == 303 for answer in answers)
    assert all(answer["location"].startswith("/adresse/confirmation?") for answer in answers)
    after = read_state(account.id)
    assert (after.links, after.mails, after.completions) == (1, 1, 1)


@pytest.mark.row("Z-04")
def test_both_clicks_on_the_link_say_confirmed(browser: FlaskClient, build: Build) -> None:
    accounts, forms = [], []
    for _ in range(4):
        account = build.never_activated()
        activate(browser, account, mail=f"{account.username}@exemple.fr")
        page = browser.get(newest_link(build.settings, account.id))
        accounts.append(account)
        forms += [_form(browser, page)] * 2
    for answer in _at_once(build, forms):
        assert answer["status"] == 200
        assert "Votre compte a été validé." in answer["text"]
    assert [read_state(account.id).email for account in accounts] == [f"{a.username}@exemple.fr" for a in accounts]


@pytest.mark.row("Z-04")
def test_a_click_while_another_reads_the_link_leaves_it_confirmed(
    browser: FlaskClient, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = build.never_activated()
    activate(browser, account)
    form = _form(browser, browser.get(newest_link(build.settings, account.id)))
    find, twin = emails.find_link, browser.application.test_client()
    for name, value in form["cookies"].items():
        twin.set_cookie(name, value, domain=HOST, secure=True)

    def find_and_be_overtaken(value: str) -> Link:
        link = find(value)
        monkeypatch.undo()
        assert "Votre compte a été validé." in twin.post(form["url"], base_url=ISSUER, data=form["data"]).text
        return link

    monkeypatch.setattr(emails, "find_link", find_and_be_overtaken)
    answer = browser.post(form["url"], data=form["data"])
    assert "Votre compte a été validé." in answer.text
