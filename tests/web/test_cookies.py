"""B-01: every cookie is host-only, Secure, HttpOnly and small."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.app import create_app
from idp.clock import now
from idp.services import services_of
from tests.builders import PASSWORD, Build
from tests.databases import settings_for
from tests.pages import follow, sign_in, submit
from tests.relying_party import Attempt, RelyingParty


def _watch(browser: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the `Set-Cookie` headers of a browser by name, which later responses extend."""
    seen: dict[str, str] = {}
    real = browser.open

    def watching(*args: Any, **kwargs: Any) -> TestResponse:
        response = real(*args, **kwargs)
        for cookie in response.headers.getlist("Set-Cookie"):
            seen[cookie.partition("=")[0]] = cookie
        return response

    monkeypatch.setattr(browser, "open", watching)
    return seen


@pytest.mark.row("B-01")
def test_each_cookie_carries_the_attributes_that_browsers_enforce(
    browser: FlaskClient, build: Build, ent: RelyingParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = _watch(browser, monkeypatch)
    page = follow(browser, browser.get(ent.url(Attempt(), login_hint=None, state="x" * 1500)))
    page = submit(browser, page, profil="parent")
    submit(browser, page, identifiant=build.active().username, mot_de_passe=PASSWORD, rester="1")
    # scripts in frames read this one (Session Management 1.0, 3.2): it gives no access and identifies nobody
    state = seen.pop("__Host-bs")
    assert {part.strip() for part in state.split(";")[1:]} == {"Secure", "SameSite=None", "Path=/"}
    assert len(state) < 1000
    assert set(seen) == {"__Host-tx", "__Host-ss", "__Host-profil", "__Host-dv", "__Host-ds"}
    for name, cookie in seen.items():
        attributes = {part.strip().partition("=")[0].lower(): part.strip() for part in cookie.split(";")[1:]}
        assert {"secure", "httponly"} <= set(attributes), name
        assert attributes["samesite"] == "SameSite=Lax", name
        assert attributes["path"] == "/" or attributes["path"] == "Path=/", name
        assert "domain" not in attributes, name
        assert len(cookie) < 1000, name
    session = seen["__Host-ss"].lower()
    assert "max-age" not in session, "closing the browser ends it"
    assert "expires" not in session


@pytest.mark.row("B-01")
def test_the_session_cookie_is_taken_away_with_the_same_attributes(
    browser: FlaskClient, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = _watch(browser, monkeypatch)
    sign_in(browser, "/connexion", build.active().username, PASSWORD)
    submit(browser, browser.get("/logout"))
    gone = seen["__Host-ss"]
    assert gone.startswith("__Host-ss=;")
    assert "Max-Age=0" in gone
    for attribute in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert attribute in gone


@pytest.mark.row("B-01")
def test_over_http_in_development_the_names_lose_the_prefix_that_browsers_refuse(app: Flask) -> None:
    here = settings_for(services_of(app).settings.database_url, env="development", issuer="http://127.0.0.1:8000")
    plain = create_app(here)
    try:
        browser = plain.test_client()
        cookies = browser.get("/connexion", base_url="http://127.0.0.1:8000").headers.getlist("Set-Cookie")
        assert [cookie.partition("=")[0] for cookie in cookies] == ["idp-tx"]
        assert "Secure" not in cookies[0]
        assert "HttpOnly" in cookies[0]
    finally:
        services_of(plain).close()


@pytest.mark.row("B-01")
def test_machines_get_no_cookie(browser: FlaskClient) -> None:
    for place in ("/.well-known/openid-configuration", "/jwks.json", "/healthz", "/readyz", "/userinfo", "/charter"):
        assert "Set-Cookie" not in browser.get(place).headers


def test_the_browser_cookie_is_written_when_it_changes_or_a_quarter_of_its_time_is_over(
    browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lifetime is that of an authorization request and a quarter, so that it outlives a request in progress."""

    def written() -> list[str]:
        page = browser.get("/connexion")
        assert page.status_code == 200
        return [cookie for cookie in page.headers.getlist("Set-Cookie") if cookie.startswith("__Host-tx=")]

    [first] = written()
    assert "Max-Age=2250;" in first
    assert written() == []
    moment = now()
    monkeypatch.setattr("idp.web.browser.now", lambda: moment + timedelta(seconds=449))
    assert written() == []
    monkeypatch.setattr("idp.web.browser.now", lambda: moment + timedelta(seconds=452))
    assert len(written()) == 1
