"""What the browser holds, what the ENT keeps, and what another site or another browser cannot do with them."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
import time_machine
from flask import Flask

from clients.ent.app import create_app
from clients.ent.settings import read_settings
from clients.ent.store import Store
from clients.kit.checks import Attempt
from tests.clients.conftest import PUBLIC_URL, Browser, environment
from tests.clients.fake_provider import (
    FakeProvider,
)


@pytest.mark.parametrize("state", ["un-autre-state", "", None])
def test_an_answer_without_the_state_is_refused(browser: Browser, provider: FakeProvider, state: str | None) -> None:
    provider.answer_lie = {"state": state}
    answer = browser.sign_in()
    assert answer.status_code == 400
    assert "Reprenons depuis le début" in answer.text
    assert "/token" not in provider.calls


def test_an_answer_counts_once_even_when_it_comes_eight_times_at_once(app: Flask, provider: FakeProvider) -> None:
    browser = Browser(app.test_client())
    path = browser.leave().removeprefix(PUBLIC_URL)
    cookie = browser.client.get_cookie("ent_ent-de-test.browser", domain="localhost")
    assert cookie is not None

    def open_callback(_: int) -> int:
        headers = {"Cookie": f"{cookie.key}={cookie.value}"}
        return app.test_client(use_cookies=False).get(path, headers=headers).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(open_callback, range(8)))
    assert statuses == [303, *[400] * 7]
    assert provider.calls.count("/token") == 1


def test_an_answer_opened_in_another_browser_is_refused(app: Flask, provider: FakeProvider) -> None:
    url = Browser(app.test_client()).leave()
    victim = Browser(app.test_client())
    victim.leave()
    assert victim.get(url).status_code == 400
    assert Browser(app.test_client()).get(url).status_code == 400
    assert "/token" not in provider.calls


def test_an_answer_that_comes_after_an_hour_is_refused(browser: Browser, provider: FakeProvider) -> None:
    url = browser.leave()
    with time_machine.travel(time.time() + 3601, tick=True):
        assert "Reprenons depuis le début" in browser.get(url).text
    assert "/token" not in provider.calls


BEFORE = """
CREATE TABLE attempt (
  state_digest BLOB PRIMARY KEY, browser_digest BLOB NOT NULL, nonce TEXT NOT NULL, code_verifier TEXT NOT NULL,
  target TEXT NOT NULL, expires_at INTEGER NOT NULL
) STRICT;
"""


@pytest.mark.parametrize("schema", [BEFORE, ""], ids=["a file of before", "a new file"])
def test_all_that_was_asked_is_kept_for_the_checks_of_the_answer(tmp_path: Path, schema: str) -> None:
    path = tmp_path / "ent.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(schema)
        if schema:
            row = (sha256(b"old").digest(), sha256(b"b").digest(), "n", "v", "/devoirs", int(time.time()) + 60)
            connection.execute("INSERT INTO attempt VALUES (?, ?, ?, ?, ?, ?)", row)
    attempt = Attempt("new", "n", "v", "/devoirs", "60", "a b")
    Store(path).start_attempt("b", attempt)
    store = Store(path)  # opened a second time, it is as it should be
    assert store.take_attempt("b", "new") == attempt
    assert store.take_attempt("b", "old") == (Attempt("old", "n", "v", "/devoirs") if schema else None)


def test_two_tabs_do_not_disturb_one_another(browser: Browser) -> None:
    first, second = browser.leave(), browser.leave()
    assert (browser.get(second).status_code, browser.get(first).status_code) == (303, 303)


def test_cookie_holds_no_token_and_the_database_holds_no_session_id(
    browser: Browser, app: Flask, provider: FakeProvider
) -> None:
    browser.sign_in()
    before = browser.client.get_cookie("ent_ent-de-test")
    answer = browser.sign_in()
    after = browser.client.get_cookie("ent_ent-de-test")
    assert before is not None
    assert after is not None
    assert before.value != after.value, "a value planted before the sign-in is worth nothing"
    assert len(after.value) == 43
    [header] = answer.headers.getlist("Set-Cookie")
    assert "HttpOnly" in header
    assert "SameSite=Lax" in header
    with sqlite3.connect(app.extensions["ent_settings"].database) as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()
    assert after.value not in dump
    assert "at-" in dump, "the tokens are on the server"
    stale = app.test_client(use_cookies=False).get("/charte", headers={"Cookie": f"{before.key}={before.value}"})
    assert stale.location.startswith("/login?")


def test_the_session_ends_after_eight_hours(browser: Browser) -> None:
    browser.enter()
    start = time.time()
    with time_machine.travel(start + 8 * 3600 - 60, tick=True):
        assert browser.get("/bienvenue").status_code == 200
    with time_machine.travel(start + 8 * 3600 + 60, tick=True):
        assert browser.get("/bienvenue").location.startswith("/login?")


def test_a_request_that_ends_after_the_sign_out_does_not_bring_the_session_back(app: Flask) -> None:
    store = app.extensions["ent_store"]
    store.save_session("s", "{}", int(time.time()) + 60, is_new=True)
    store.end_session("s")
    store.save_session("s", "{}", int(time.time()) + 60, is_new=False)
    assert store.find_session("s") is None


@pytest.mark.parametrize("page", ["/charte", "/notifications", "/logout"])
def test_a_form_of_another_site_is_refused(browser: Browser, provider: FakeProvider, page: str) -> None:
    browser.sign_in()
    answer = browser.client.post(page, data={"accord": "oui", "version": "2", "mail": "pirate@exemple.fr"})
    assert answer.status_code == 400
    assert "Reprenons cette page" in answer.text
    assert provider.accepted == []
    assert browser.get("/charte").status_code == 200, "still signed in"


def test_the_sign_out_ends_the_local_session_without_an_end_session_endpoint(
    browser: Browser, provider: FakeProvider
) -> None:
    provider.metadata_lie = {"end_session_endpoint": None}
    browser.enter()
    cookie = browser.client.get_cookie("ent_ent-de-test")
    assert cookie is not None
    out = browser.submit("/bienvenue", "/logout")
    assert "<h1>Vous êtes déconnecté</h1>" in out.text
    browser.client.set_cookie(cookie.key, cookie.value)
    assert browser.get("/bienvenue").location.startswith("/login?"), "the old cookie opens nothing"


def test_every_answer_carries_the_security_headers(browser: Browser, provider: FakeProvider) -> None:
    for page in ("/", "/nulle-part", "/callback", "/accessibilite", "/static/ent.css"):
        with browser.get(page) as answer:
            headers = answer.headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert f"form-action 'self' {provider.issuer}" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert ("no-store" in headers["Cache-Control"]) == (page != "/static/ent.css")
    assert browser.client.get("/", headers={"Host": "ailleurs.example"}).status_code == 400


def test_an_https_ent_has_a_host_cookie_that_never_travels_in_clear(provider: FakeProvider, tmp_path: Path) -> None:
    variables = environment(provider.issuer, tmp_path) | {"ENT_PUBLIC_URL": "https://passerelle.exemple.fr"}
    client = create_app(read_settings(variables)).test_client()
    answer = client.get("/login", base_url="https://passerelle.exemple.fr")
    [cookie] = answer.headers.getlist("Set-Cookie")
    assert cookie.startswith("__Host-ent_ent-de-test.browser=")
    assert "HttpOnly" in cookie
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie
    assert "max-age=31536000" in answer.headers["Strict-Transport-Security"]


@pytest.mark.parametrize("path", ["/callback?state=%FF%00&iss=%ED%A0%80", "/login?login_hint=%00%FF", "/?state=%FF"])
def test_bytes_that_are_no_text_cause_no_server_error(browser: Browser, path: str) -> None:
    cookie = {"Cookie": 'ent_ent-de-test="\\377\\000"'}
    assert browser.client.get(path, headers=cookie).status_code < 500


def test_a_body_too_large_is_refused(browser: Browser) -> None:
    assert browser.client.post("/charte", data={"accord": "x" * 100_000}).status_code in {400, 413}
