"""Discovery, keys and their rotation (security rows D-01, D-03 to D-06; D-02 is in test_metadata)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts.models import Account
from idp.config import ConfigurationError, load
from idp.oidc.keys import rotation
from idp.services import services_of
from tests.builders import Build
from tests.databases import ISSUER, SECRET
from tests.protocol.flow import tokens_for
from tests.relying_party import RelyingParty

DOCUMENTS = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")


def jwks(browser: FlaskClient) -> list[dict[str, Any]]:
    published: list[dict[str, Any]] = browser.get("/jwks.json").get_json()["keys"]
    return published


@pytest.mark.row("D-01")
def test_no_header_changes_an_address(browser: FlaskClient) -> None:
    """OpenID Connect Discovery 1.0, 4.3."""
    hostile = {
        "Host": "evil.test",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Proto": "http",
        "Forwarded": "host=evil.test;proto=http",
        "X-Original-URL": "https://evil.test/",
    }
    for path in DOCUMENTS:
        honest = browser.get(path)
        assert honest.get_json()["issuer"] == ISSUER
        for name, value in hostile.items():
            answer = browser.get(path, headers={name: value})
            assert answer.status_code in {200, 400}, name
            if answer.status_code == 200:
                assert answer.get_json() == honest.get_json()
        values = [value for value in honest.get_json().values() if isinstance(value, str)]
        assert len(values) > 5
        assert all(url == ISSUER or url.startswith(f"{ISSUER}/") for url in values)


@pytest.mark.row("D-04")
def test_a_new_key_is_known_a_day_before_it_signs_and_the_old_one_stays(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    """OpenID Connect Core 1.0, 10.1.1; Security row D-04."""
    ring = services_of(app).server.ring
    [first] = jwks(browser)
    before = tokens_for(browser, ent)["id_token"]
    second = rotation.rotate(build.settings).kid
    ring.forget()
    assert {key["kid"] for key in jwks(browser)} == {first["kid"], second}
    start = datetime.now(UTC)
    for hours, expected in ((0, first["kid"]), (23.9, first["kid"]), (24.1, second)):
        with time_machine.travel(start + timedelta(hours=hours)):
            signer = ring.signer("RS256")
            assert signer.kid == expected, hours
            assert signer.kid in {key["kid"] for key in jwks(browser)}
    assert ent.read(browser, before)  # signatures of the old key are still valid
    with time_machine.travel(start + timedelta(hours=25)):
        assert rotation.retire(first["kid"])
        ring.forget()
        assert {key["kid"] for key in jwks(browser)} == {second}


@pytest.mark.row("D-05")
@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"issuer": None}, "IDP_ISSUER"),
        ({"issuer": "http://connexion.exemple.test"}, "must be https"),
        ({"issuer": "http://127.0.0.1:8000"}, "must be https"),
        ({"issuer": "http://exemple.test", "env": "development"}, "must be https"),
        ({"issuer": f"{ISSUER}/"}, "slash"),
        ({"issuer": f"{ISSUER}?a=b"}, "must be a URL"),
        ({"issuer": "connexion.exemple.test"}, "must be a URL"),
    ],
)
def test_without_a_sound_public_address_nothing_starts(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str | None], fault: str
) -> None:
    """OpenID Connect Discovery 1.0, 3."""
    for name in ("IDP_ISSUER", "IDP_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    values = {name: value for name, value in settings.items() if value is not None}
    with pytest.raises(ConfigurationError) as refusal:
        load(secret_key=SECRET, **values)
    assert any(fault in line for line in refusal.value.faults), refusal.value.faults


@pytest.mark.row("D-06")
def test_cross_origin_requests_read_discovery_and_keys_only(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    """OpenID Connect Discovery 1.0, 4; OpenID Connect Core 1.0, 5.3; OWASP ASVS 5, V 3.4.2."""
    origin = {"Origin": "https://evil.test"}
    for path in (*DOCUMENTS, "/jwks.json"):
        response = browser.get(path, headers=origin)
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in response.headers
        # no cache may hide a key that signs at once
        seconds = 60 if path == "/jwks.json" else 3600
        assert response.headers["Cache-Control"] == f"public, max-age={seconds}"
        assert "Set-Cookie" not in response.headers
    closed = ("/userinfo", "/token", "/par", "/revoke", "/introspect", "/register", "/authorize", "/authorize/accord")
    for path in (*closed, "/logout", "/connexion", "/charter", "/mon-compte"):
        for method in ("GET", "OPTIONS", "POST"):
            response = browser.open(path, method=method, headers=origin)
            assert not [name for name in response.headers.keys() if name.startswith("Access-Control-")]  # noqa: SIM118
