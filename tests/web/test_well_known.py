"""URLs under /.well-known/."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.clock import now
from idp.config import ConfigurationError, load
from tests.databases import ISSUER, SECRET
from tests.rows import each_row
from tests.services import change_settings


@pytest.mark.parametrize(
    "contact", ["mailto:securite@exemple.fr", "https://exemple.fr/securite", "tel:+33-3-53-01-12-12"]
)
def test_security_txt_names_a_contact_and_has_not_expired(app: Flask, browser: FlaskClient, contact: str) -> None:
    change_settings(app, security_contact=contact)
    answer = browser.get("/.well-known/security.txt")
    assert (answer.status_code, answer.content_type) == (200, "text/plain; charset=utf-8")
    fields = dict(line.split(": ", 1) for line in answer.text.splitlines())
    assert fields["Contact"] == contact
    assert fields["Canonical"] == f"{ISSUER}/.well-known/security.txt"
    assert timedelta(days=30) < datetime.fromisoformat(fields["Expires"]) - now() < timedelta(days=365)
    assert "Set-Cookie" not in answer.headers


@each_row("contact", ["securite@exemple.fr", "http://exemple.fr/x", "mailto:a@b c", "mailto:x\nExpires: 1"])
def test_an_invalid_contact_stops_the_start(contact: str) -> None:
    options: dict[str, Any] = {"issuer": ISSUER, "secret_key": SECRET}
    with pytest.raises(ConfigurationError, match="IDP_SECURITY_CONTACT"):
        load(**options, security_contact=contact)


def test_security_txt_is_absent_without_a_contact(browser: FlaskClient) -> None:
    assert browser.get("/.well-known/security.txt").status_code == 404


def test_password_managers_are_led_to_the_page_that_changes_the_password(browser: FlaskClient) -> None:
    answer = browser.get("/.well-known/change-password")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/mon-compte/mot-de-passe")


def test_an_unknown_well_known_path_is_not_found(browser: FlaskClient) -> None:
    # a password manager requests it first, to check that unknown URLs return 404
    for name in ("resource-that-should-not-exist-whose-status-code-should-not-be-200", "", "webfinger"):
        assert browser.get(f"/.well-known/{name}").status_code == 404
