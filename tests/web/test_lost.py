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
from tests.builders import Build
from tests.pages import follow, heading
from tests.protocol.flow import one_database
from tests.relying_party import Attempt, RelyingParty

pytestmark = one_database
_LOST = "Reprenons depuis l’ENT"


def _way_back(page: TestResponse) -> list[tuple[str, str]]:
    """Check that the page names both reasons; return its buttons."""
    assert (page.status_code, heading(page)) == (400, _LOST)
    assert "restée ouverte longtemps, ou elle a été ouverte dans un autre navigateur" in page.text
    return re.findall(r'<a class="btn" href="([^"]+)">(.*?)</a>', page.text)


@pytest.mark.row("A-22")
def test_another_browser_is_led_back_to_the_ent_and_told_nothing_else(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    ent, account, attempt = build.ent(), build.never_activated(), Attempt()
    address = open_activation(browser, account, ent.url(attempt)).request.full_path
    for stranger in (app.test_client(), browser):
        if stranger is browser:
            browser.delete_cookie("__Host-tx", domain="connexion.exemple.test")
        page = stranger.get(address)
        assert _way_back(page) == [("https://ent.test/", "Revenir à l’ENT Passerelle")]
        said = page.text + str(page.headers)
        for secret in (account.username, str(account.id), attempt.state, attempt.nonce, "LEROY", "/cb", "demande="):
            assert secret not in said, secret


def test_an_address_that_was_changed_names_no_ent(browser: FlaskClient, ent: RelyingParty) -> None:
    address = browser.get(ent.url(Attempt())).headers["Location"]
    head, _, signature = address.partition("demande=")[2].rpartition(".")
    for bent in ("x", f"{head}.{signature[::-1]}", f"{head[:-2]}.{signature}", f".{head}.{signature}", head):
        assert _way_back(browser.get("/connexion", query_string={"demande": bent})) == []


def test_where_the_ent_has_no_address_there_is_no_button(app: Flask, browser: FlaskClient, build: Build) -> None:
    address = browser.get(build.ent(home_uri="").url(Attempt())).headers["Location"]
    assert _way_back(app.test_client().get(address)) == []


@pytest.mark.parametrize("place", ["/activation", "/adresse/confirmation", "/adresse/modifier"])
def test_whoever_opens_a_step_by_itself_finds_the_sign_in(browser: FlaskClient, place: str) -> None:
    page = browser.get(place)
    assert _way_back(page) == []
    assert '<a class="btn alt" href="/connexion">Se connecter</a>' in page.text


def test_an_activation_that_took_too_long_leads_back_too(browser: FlaskClient, build: Build) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        address = open_activation(browser, build.never_activated(), build.ent().url(Attempt())).request.full_path
        clock.shift(timedelta(minutes=31))
        for place in (address, address.replace("/activation?", "/activation/non-representant?")):
            assert _way_back(browser.get(place)) == [("https://ent.test/", "Revenir à l’ENT Passerelle")]


def test_a_waiting_page_that_is_somebody_elses_leads_back_too(browser: FlaskClient, build: Build) -> None:
    address = open_activation(browser, build.never_activated(), build.ent().url(Attempt())).request.full_path
    waiting = address.replace("/activation?", "/adresse/confirmation?")
    assert _way_back(follow(browser, browser.get(waiting))) == [("https://ent.test/", "Revenir à l’ENT Passerelle")]
