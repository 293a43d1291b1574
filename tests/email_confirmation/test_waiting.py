"""The waiting page of a browser whose activation was replaced by a sign-in elsewhere, or ended."""

import re
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.db import unit_of_work
from idp.sessions import manager
from tests.activation.race import HOST
from tests.activation.steps import CHOSEN, CONTINUED, EMAIL, LOST, SENT, activate, newest_code, read_state
from tests.builders import Build
from tests.pages import form_token, heading, sign_in, submit
from tests.relying_party import Attempt, RelyingParty


@pytest.mark.row("V-23")
def test_a_waiting_page_says_that_the_person_continued_on_another_device(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    account = build.never_activated()
    attempt = Attempt()
    waiting = activate(browser, account, ent.url(attempt))
    place = waiting.request.full_path.replace("/confirmation?", "/confirmation/etat?")
    sign_in(app.test_client(), "/connexion", account.username, CHOSEN)
    assert browser.get(place).get_json() == {"state": "replaced"}
    data = {"csrf_token": form_token(waiting), "code": newest_code(build.settings, account.id)}
    for page in (browser.get(waiting.request.full_path), browser.post(waiting.request.full_path, data=data)):
        assert (page.status_code, heading(page)) == (200, CONTINUED)
        assert not any(text in page.text for text in (account.username, EMAIL, "LEROY"))
    assert (read_state(account.id).email, browser.get_cookie("__Host-ss", domain=HOST)) == (None, None)
    onward = re.search(r'<a class="btn" href="([^"]+)">Se connecter</a>', page.text)
    assert onward, page.text
    again = sign_in(browser, unescape(onward[1]), account.username, CHOSEN)
    assert heading(again) == SENT
    answer = submit(browser, again, code=newest_code(build.settings, account.id))
    assert '<a class="btn" href="https://ent.test/">' in answer.text
    assert "code" in ent.answer(browser.get(ent.url(Attempt())))


def test_a_waiting_page_that_an_operator_ended_names_no_other_device(browser: FlaskClient, build: Build) -> None:
    account = build.never_activated()
    waiting = activate(browser, account)
    with unit_of_work():
        manager.end_all(account.id, by="operator")
    page = browser.get(waiting.request.full_path)
    assert (page.status_code, heading(page)) == (400, LOST)
