"""`/connexion` in a browser whose session answers the request already: by Back, in a second tab, from a bookmark."""

import re
from datetime import timedelta

import pytest
import time_machine
from flask.testing import FlaskClient
from sqlalchemy import text

from idp.clock import now
from idp.db import db
from tests.builders import PASSWORD, Build
from tests.pages import follow, heading, sign_in, submit
from tests.protocol.flow import one_database
from tests.relying_party import Attempt, RelyingParty

pytestmark = one_database
_ALREADY = "Vous êtes déjà connecté"
_BUTTON = re.compile(r'<a class="btn" href="([^"]+)">(.*?)</a>')


def _sign_in_and_go_back(browser: FlaskClient, build: Build, ent: RelyingParty, **changes: str) -> str:
    """Sign in for a request of the ENT; return the address of the sign-in page, which is behind."""
    page = follow(browser, browser.get(ent.url(Attempt(), **changes)))
    assert heading(page) == "Connexion"
    done = submit(browser, page, identifiant=build.active().username, mot_de_passe=PASSWORD)
    assert ent.answer(done)["code"]
    return str(page.request.full_path)


@pytest.mark.parametrize("wish", [{}, {"prompt": "login"}, {"prompt": "select_account"}, {"max_age": "3600"}])
def test_who_goes_back_after_signing_in_is_led_on_and_asked_for_nothing(
    browser: FlaskClient, build: Build, wish: dict[str, str]
) -> None:
    ent = build.ent(initiate_login_uri="https://ent.test/entrer")
    behind = _sign_in_and_go_back(browser, build, ent, **wish)
    page = browser.get(behind)
    assert (page.status_code, heading(page)) == (200, _ALREADY)
    assert 'name="mot-de-passe"' not in page.text
    [(address, name)] = _BUTTON.findall(page.text)
    assert name == "Continuer vers l’ENT Passerelle"
    assert address.startswith("https://ent.test/entrer?iss="), "a new sign-on: the ENT would refuse a state that served"
    assert 'href="/mon-compte"' in page.text
    assert 'href="/logout"' in page.text, "the way out for whoever is somebody else"
    assert "demande=" not in page.text


def test_a_second_tab_is_told_the_same(browser: FlaskClient, build: Build, ent: RelyingParty) -> None:
    tab = follow(browser, browser.get(ent.url(Attempt()))).request.full_path
    sign_in(browser, "/connexion", build.active().username, PASSWORD)
    page = browser.get(tab)
    assert heading(page) == _ALREADY
    assert _BUTTON.findall(page.text) == [("https://ent.test/", "Continuer vers l’ENT Passerelle")]


def test_a_form_that_a_second_tab_sends_after_the_first_signed_in_is_led_on_too(
    browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    account = build.active()
    waiting = follow(browser, browser.get(ent.url(Attempt())))
    other = follow(browser, browser.get(ent.url(Attempt())))
    submit(browser, waiting, identifiant=account.username, mot_de_passe=PASSWORD)
    page = submit(browser, other, identifiant=account.username, mot_de_passe=PASSWORD)
    assert (page.request.method, heading(page)) == ("GET", _ALREADY), "neither time nor a refused cookie ended it"


def test_a_form_that_is_too_old_is_told_so_whatever_else_is_wrong(
    browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    behind = _sign_in_and_go_back(browser, build, ent)
    broken = behind.replace("demande=", "demande=x")
    for address, away in ((broken, False), (behind, True)):
        if away:
            db.session.execute(text("ALTER TABLE session RENAME TO away"))
            db.session.commit()
        page = browser.post(address, data={"csrf_token": "x", "identifiant": "a", "mot-de-passe": "b"})
        assert (page.status_code, heading(page)) == (400, "Cette page est restée ouverte trop longtemps"), address


def test_an_ent_without_an_address_is_named_and_the_way_there_is_told(browser: FlaskClient, build: Build) -> None:
    page = browser.get(_sign_in_and_go_back(browser, build, build.ent(home_uri="")))
    assert heading(page) == _ALREADY
    assert "Revenez à l’ENT de l’établissement" in page.text


def test_a_request_that_asks_for_more_than_the_session_has_gets_the_form(
    browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        sign_in(browser, "/connexion", build.active().username, PASSWORD)
        clock.shift(timedelta(seconds=100))
        known = "urn:scolarite-services:acr:password-known-device"
        wishes: list[dict[str, str]] = [
            {"prompt": "login"},
            {"prompt": "select_account"},
            {"max_age": "99"},
            {"claims": f'{{"id_token":{{"acr":{{"essential":true,"value":"{known}"}}}}}}'},
        ]
        for wish in wishes:
            page = follow(browser, browser.get(ent.url(Attempt(), **wish)))
            assert heading(page) == "Connexion", wish
            assert "redonnez votre identifiant" in page.text, wish


def test_whose_age_is_over_signs_in_again_also_when_it_was_for_this_request(
    browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        behind = _sign_in_and_go_back(browser, build, ent, max_age="0")
        assert heading(browser.get(behind)) == _ALREADY
        clock.shift(timedelta(seconds=61))
        assert heading(browser.get(behind)) == "Connexion"


def test_a_request_for_one_person_keeps_the_form(browser: FlaskClient, build: Build, ent: RelyingParty) -> None:
    account = build.active()
    attempt = Attempt()
    code = ent.answer(sign_in(browser, ent.url(attempt), account.username, PASSWORD))["code"]
    hint = ent.tokens(browser, code, attempt)["id_token"]
    behind = follow(browser, browser.get(ent.url(Attempt(), prompt="login", id_token_hint=hint))).request.full_path
    assert heading(browser.get(behind)) == "Connexion"
    sign_in(browser, behind, build.active().username, PASSWORD)
    assert heading(browser.get(behind)) == "Connexion", "perhaps another person is wanted, and may sign in here"


def test_who_must_type_the_password_to_correct_an_address_still_can(
    browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    account = build.active(email=None, pending_email="noemei@exemple.fr")
    with time_machine.travel(now(), tick=False) as clock:
        waiting = sign_in(browser, ent.url(Attempt()), account.username, PASSWORD)
        assert heading(waiting) == "Consultez votre messagerie"
        clock.shift(timedelta(minutes=6))
        place = waiting.request.full_path.replace("/confirmation", "/modifier")
        assert heading(follow(browser, browser.get(place))) == "Connexion"


def test_without_a_request_or_a_session_nothing_changes(browser: FlaskClient, build: Build, ent: RelyingParty) -> None:
    behind = _sign_in_and_go_back(browser, build, ent)
    assert heading(browser.get("/connexion")) == "Connexion"
    submit(browser, browser.get("/logout"))
    page = browser.get(behind)
    assert heading(page) == "Connexion"
    assert "déjà connecté" not in page.text
