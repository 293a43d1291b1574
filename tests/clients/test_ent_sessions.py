"""What the browser holds, what the ENT keeps, what ends its sessions, and what other sites and browsers cannot do."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
import time_machine
from flask import Flask
from werkzeug.test import TestResponse

from clients.ent.app import create_app
from clients.ent.settings import read_settings
from clients.ent.store import Store
from clients.kit.checks import Attempt
from tests.clients.conftest import PUBLIC_URL, Browser, change, environment
from tests.clients.fake_provider import (
    FakeProvider,
)
from tests.clients.test_kit_outages import SUB, claims_of, signed


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
    assert store.take_attempt("another browser", "new") is None
    assert store.take_attempt("b", "new") == attempt
    assert store.take_attempt("b", "old") == (Attempt("old", "n", "v", "/devoirs") if schema else None)


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


PATH = "/backchannel-logout"


def tell(app: Flask, token: str) -> TestResponse:
    """Send the token as the provider does: no cookie, no form token."""
    return app.test_client(use_cookies=False).post(PATH, data={"logout_token": token})


def is_inside(browser: Browser) -> bool:
    page = browser.get("/bienvenue")
    if page.status_code == 200:
        return True
    assert page.location.startswith("/login?")
    return False


def assert_accepted(answer: TestResponse) -> None:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers
    assert answer.data == b""


def read_refusal(answer: TestResponse) -> str:
    assert answer.status_code == 400, answer.text
    assert (answer.headers["Cache-Control"], answer.content_type) == ("no-store", "application/json")
    body = answer.get_json()
    assert body["error"] == "invalid_request"
    return str(body["error_description"])


def test_the_end_of_one_session_does_not_lose_the_sign_in_that_is_on_its_way(
    app: Flask, browser: Browser, provider: FakeProvider
) -> None:
    # A parent signs out and in again before the logout token arrives.
    browser.enter()
    url = browser.leave()
    assert_accepted(tell(app, signed(claims_of(provider))))
    assert browser.get(url).status_code == 303
    assert is_inside(browser)


def test_a_session_ends_alone_and_a_person_s_all_together(app: Flask, provider: FakeProvider) -> None:
    phone, computer, neighbour = (Browser(app.test_client()) for _ in range(3))
    for browser, sid, sub in ((phone, "sid-1", SUB), (computer, "sid-2", SUB), (neighbour, "sid-3", "autre")):
        provider.claims_lie = change(sid=sid, sub=sub)
        provider.userinfo_lie = change(sub=sub)
        browser.enter()
    assert_accepted(tell(app, signed(claims_of(provider, sid="sid-1"))))
    assert (is_inside(phone), is_inside(computer), is_inside(neighbour)) == (False, True, True)
    assert_accepted(tell(app, signed(claims_of(provider, sid="sid-3"))))
    assert is_inside(neighbour), "that session is not this person's"
    assert_accepted(tell(app, signed(claims_of(provider, sid=None))))
    assert (is_inside(computer), is_inside(neighbour)) == (False, True)


def test_a_token_counts_once_even_when_it_comes_eight_times_at_once(
    app: Flask, browser: Browser, provider: FakeProvider
) -> None:
    browser.enter()
    token = signed(claims_of(provider))
    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(answer.status_code for answer in pool.map(lambda _: tell(app, token), range(8)))
    assert statuses == [200, *[400] * 7]
    browser.sign_in()
    assert read_refusal(tell(app, token)) == "the token was used before"
    assert is_inside(browser), "who signed in again is not thrown out by an old token"


def test_token_identifiers_are_kept_as_long_as_tokens_are_accepted(app: Flask, provider: FakeProvider) -> None:
    def names() -> int:
        with sqlite3.connect(app.extensions["ent_settings"].database) as connection:
            count: int = connection.execute("SELECT count(*) FROM logout_token").fetchone()[0]
        connection.close()
        return count

    start = time.time()
    endless = signed(claims_of(provider, exp=int(start) + 10**9))
    assert_accepted(tell(app, endless))
    with time_machine.travel(start + 590, tick=True):
        assert read_refusal(tell(app, endless)) == "the token was used before"
    with time_machine.travel(start + 700, tick=True):
        assert read_refusal(tell(app, endless)) == "the token was not issued recently"
        assert_accepted(tell(app, signed(claims_of(provider))))
    assert names() == 1


def test_a_database_of_the_former_version_is_taken_over(provider: FakeProvider, tmp_path: Path) -> None:
    variables = environment(provider.issuer, tmp_path)
    with sqlite3.connect(variables["ENT_DATABASE"]) as former:
        former.execute(
            "CREATE TABLE session (digest BLOB PRIMARY KEY, content TEXT NOT NULL, expires_at INTEGER NOT NULL) STRICT"
        )
        former.execute("INSERT INTO session VALUES (x'00', '{}', 99999999999)")
    former.close()
    app = create_app(read_settings(variables))
    browser = Browser(app.test_client())
    browser.enter()
    assert_accepted(tell(app, signed(claims_of(provider))))
    assert not is_inside(browser)


def test_person_of_an_ended_session_is_deleted(app: Flask, browser: Browser) -> None:
    browser.enter()
    browser.submit("/bienvenue", "/logout")
    with sqlite3.connect(app.extensions["ent_settings"].database) as connection:
        assert connection.execute("SELECT * FROM signed_in").fetchall() == []
    connection.close()
