"""« Reprenons depuis l’ENT »: the page for an invalid or old URL, and its links back."""

import re
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.clock import now
from tests.activation.steps import open_activation
from tests.builders import COLLEGE, LYCEE, Build
from tests.pages import follow, heading, text_beside_menu
from tests.relying_party import Attempt, RelyingParty

_LOST = "Reprenons depuis l’ENT"
_LIST = ("/mon-ent", "Trouver mon ENT")


def _way_back(page: TestResponse) -> list[tuple[str, str]]:
    """Check that the page names both reasons; return its buttons."""
    assert (page.status_code, heading(page)) == (400, _LOST)
    assert "restée ouverte longtemps, ou elle a été ouverte dans un autre navigateur" in page.text
    return re.findall(r'<a class="btn" href="([^"]+)">(.*?)</a>', page.text)


@pytest.mark.row("A-22")
def test_another_browser_is_led_back_to_the_ent_without_details(app: Flask, browser: FlaskClient, build: Build) -> None:
    ent, account, attempt = build.ent(), build.never_activated(), Attempt()
    url = open_activation(browser, account, ent.url(attempt)).request.full_path
    for stranger in (app.test_client(), browser):
        if stranger is browser:
            browser.delete_cookie("__Host-tx", domain="connexion.exemple.test")
        page = stranger.get(url)
        assert _way_back(page) == [("https://ent.test/", "Revenir à l’ENT Passerelle")]
        text = text_beside_menu(page) + str(page.headers)
        for secret in (account.username, str(account.id), attempt.state, attempt.nonce, "LEROY", "/cb", "demande="):
            assert secret not in text, secret


def test_an_address_that_was_changed_names_no_ent(browser: FlaskClient, ent: RelyingParty) -> None:
    url = browser.get(ent.url(Attempt())).headers["Location"]
    head, _, signature = url.partition("demande=")[2].rpartition(".")
    for bent in ("x", f"{head}.{signature[::-1]}", f"{head[:-2]}.{signature}", f".{head}.{signature}", head):
        assert _way_back(browser.get("/connexion", query_string={"demande": bent})) == [_LIST]


def test_page_leads_to_the_list_instead_of_an_ent_without_an_address(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    url = browser.get(build.ent(home_uri="").url(Attempt())).headers["Location"]
    assert _way_back(app.test_client().get(url)) == [_LIST]


@pytest.mark.parametrize("place", ["/activation", "/adresse/confirmation", "/adresse/modifier"])
def test_step_opened_by_itself_leads_to_the_sign_in(browser: FlaskClient, place: str) -> None:
    page = browser.get(place)
    assert _way_back(page) == [_LIST]
    assert '<a class="btn alt" href="/connexion">Se connecter</a>' in page.text


def test_an_expired_activation_leads_back_to_the_ent(browser: FlaskClient, build: Build) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        url = open_activation(browser, build.never_activated(), build.ent().url(Attempt())).request.full_path
        clock.shift(timedelta(minutes=31))
        for place in (url, url.replace("/activation?", "/activation/non-representant?")):
            assert _way_back(browser.get(place)) == [("https://ent.test/", "Revenir à l’ENT Passerelle")]


def test_a_waiting_page_of_another_browser_leads_back_to_the_ent(browser: FlaskClient, build: Build) -> None:
    url = open_activation(browser, build.never_activated(), build.ent().url(Attempt())).request.full_path
    waiting = url.replace("/activation?", "/adresse/confirmation?")
    assert _way_back(follow(browser, browser.get(waiting))) == [("https://ent.test/", "Revenir à l’ENT Passerelle")]


def test_the_list_names_each_ent_that_has_an_address_with_its_schools(browser: FlaskClient, build: Build) -> None:
    assert "Accéder à" not in browser.get("/mon-ent").text
    build.child(), build.child("Inès", uai=LYCEE)
    build.ent("Passerelle", uais=[COLLEGE])
    build.ent("Horizon", "horizon.test", uais=[LYCEE], home_uri="")
    page = browser.get("/mon-ent")
    assert re.findall(r'<a class="btn" href="([^"]+)">(.*?)</a>', page.text) == [
        ("https://ent.test/", "Accéder à l’ENT Passerelle")
    ]
    assert "Collège des Tilleuls" in page.text
    assert "Lycée Louise-Weber" not in page.text
    assert 'class="more"' not in page.text, "few schools are not folded"
