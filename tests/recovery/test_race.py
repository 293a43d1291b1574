"""G-12: concurrent recoveries in separate processes."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts.models import Account
from idp.accounts.notices import NOTICE, RESET_REQUESTED
from idp.accounts.passwords.hasher import Hasher
from tests.builders import Build
from tests.my_account.changes import at_once, form
from tests.recovery.steps import PASSWORD, USED, journal, mailed_link, outbox, read_account_row

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
