"""Steps after the sign-in: the charter, then the notification email; no URL skips them."""

import re
import time
from pathlib import Path

import pytest
import time_machine
from flask import Flask

from clients.ent.app import create_app
from clients.ent.settings import read_settings
from tests.clients.conftest import Browser, change, environment
from tests.clients.fake_provider import (
    FakeProvider,
)


def test_the_charter_is_rendered_by_the_ent_and_escaped(browser: Browser) -> None:
    browser.sign_in()
    page = browser.get("/charte").text
    assert "<script" not in page
    assert "<img" not in page
    assert "<h2>Charte</h2>" in page
    assert "<h3>1. Respect</h3>" in page


@pytest.mark.parametrize("page", ["/notifications", "/bienvenue"])
def test_pages_of_the_ent_require_the_charter(browser: Browser, page: str) -> None:
    browser.sign_in()
    assert browser.get(page).location == "/charte"
    refused = browser.get("/charte/refus").text
    assert "Vous n’avez pas accepté la charte" in refused
    assert browser.get(page).location == "/charte"


def test_home_page_requires_the_notifications_step(browser: Browser, provider: FakeProvider) -> None:
    provider.accepted = ["2"]
    assert browser.sign_in().location == "/notifications"
    assert browser.get("/bienvenue").location == "/notifications"


def test_the_box_must_be_ticked(browser: Browser, provider: FakeProvider) -> None:
    browser.sign_in()
    answer = browser.submit("/charte")
    assert answer.status_code == 400
    assert "<title>Erreur" in answer.text
    assert provider.accepted == []


def test_a_newer_charter_is_shown_and_the_old_one_not_recorded(browser: Browser, provider: FakeProvider) -> None:
    browser.sign_in()
    provider_before = provider.charter_version
    token = browser.get("/charte").text
    assert f'name="version" value="{provider_before}"' in token
    csrf = token.split('name="csrf_token" value="')[1].split('"')[0]
    provider.charter_version, provider.charter_text = "3", "## Nouveau texte"
    answer = browser.client.post("/charte", data={"csrf_token": csrf, "version": provider_before, "accord": "oui"})
    assert answer.status_code == 409
    assert "Nouveau texte" in answer.text
    assert "Le texte a changé" in answer.text
    assert provider.accepted == []
    assert browser.get("/bienvenue").location == "/charte"
    assert browser.submit("/charte", accord="oui").location == "/notifications"
    assert provider.accepted == ["3"]


def test_a_charter_accepted_on_another_device_is_not_asked_again(browser: Browser, provider: FakeProvider) -> None:
    browser.sign_in()
    provider.accepted.append("2")
    assert browser.get("/charte").location == "/notifications"


def test_an_ent_without_published_charter_skips_the_charter(browser: Browser, provider: FakeProvider) -> None:
    provider.charter_status = 404
    browser.sign_in()
    assert browser.get("/charte").location == "/notifications"


def test_a_charter_that_is_withdrawn_while_it_is_read_is_not_required(browser: Browser, provider: FakeProvider) -> None:
    browser.sign_in()
    html = browser.get("/charte").text
    [token] = re.findall(r'name="csrf_token" value="([^"]+)"', html)
    provider.charter_status = 404
    answer = browser.client.post("/charte", data={"csrf_token": token, "version": "2", "accord": "oui"})
    assert answer.location == "/notifications"
    assert provider.accepted == []


def test_a_slow_reader_is_signed_in_again_and_a_useless_token_does_not_turn_in_circles(
    browser: Browser, provider: FakeProvider
) -> None:
    browser.sign_in()
    provider.token_refused = True
    at_once = browser.get("/charte")
    assert at_once.status_code == 400
    assert "<b>invalid_token</b>" in at_once.text
    with time_machine.travel(time.time() + 700, tick=True):
        assert browser.get("/charte").location == "/login"


@pytest.mark.parametrize(("charter", "scope", "first"), [
    ("provider", "openid profile email ent charter", "/notifications"),
    ("none", "openid profile email ent", "/notifications"),
])  # fmt: skip
def test_charter_setting_decides_the_scope_and_the_first_page(
    provider: FakeProvider, tmp_path: Path, charter: str, scope: str, first: str
) -> None:
    app = create_app(read_settings(environment(provider.issuer, tmp_path) | {"ENT_CHARTER": charter}))
    browser = Browser(app.test_client())
    assert browser.sign_in().location == first
    assert provider.requests[-1]["scope"] == scope


@pytest.mark.parametrize(
    "mail", ["", "noemie", "noemie@", "a@b@c", "x" * 300 + "@exemple.fr", "a@exemple.fr\nBcc: b@c.fr"]
)
def test_an_invalid_address_is_reported_and_kept_on_the_screen(
    browser: Browser, provider: FakeProvider, mail: str
) -> None:
    provider.accepted = ["2"]
    browser.sign_in()
    answer = browser.submit("/notifications", mail=mail)
    assert answer.status_code == 400
    assert 'aria-invalid="true"' in answer.text
    assert browser.get("/bienvenue").location == "/notifications"


def test_the_address_is_kept_for_the_person_across_sessions(
    browser: Browser, app: Flask, provider: FakeProvider
) -> None:
    browser.enter()
    again = Browser(app.test_client())
    assert again.sign_in().location == "/bienvenue"
    provider.sub = "un-autre-parent"
    assert Browser(app.test_client()).sign_in().location == "/notifications"


def test_an_unconfirmed_address_is_not_proposed(browser: Browser, provider: FakeProvider) -> None:
    provider.accepted, provider.userinfo_lie = ["2"], change(email_verified="true")
    browser.sign_in()
    assert 'value=""' in browser.get("/notifications").text
