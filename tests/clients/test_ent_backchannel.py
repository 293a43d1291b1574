"""Back-channel logout of the sample ENT: valid tokens end its sessions, other tokens do not."""

import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask
from werkzeug.test import TestResponse

from clients.ent.app import create_app
from clients.ent.settings import read_settings
from tests.clients.conftest import Browser, change, environment
from tests.clients.fake_provider import FakeProvider
from tests.clients.test_kit_logout_tokens import SUB, claims_of, signed

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


def test_the_session_is_over_at_the_next_request(app: Flask, browser: Browser, provider: FakeProvider) -> None:
    browser.enter()
    assert is_inside(browser)
    assert_accepted(tell(app, signed(claims_of(provider))))
    assert not is_inside(browser)
    home = browser.get("/")
    assert "Se connecter" in home.text
    browser.sign_in()
    assert is_inside(browser), "a new sign-in opens it again"


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


def test_an_invalid_logout_token_ends_no_session(app: Flask, browser: Browser, provider: FakeProvider) -> None:
    browser.enter()
    refusal = read_refusal(tell(app, signed(claims_of(provider, nonce="n"))))
    assert refusal == "the token has a nonce, as an ID token has"
    assert is_inside(browser)


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


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"token": "x"},
        "logout_token=a&logout_token=b",
        json.dumps({"logout_token": "x"}),
        "logout_token=%FF%00%ED%A0%80",
        "&" * 60_000,
        "",
    ],
)
def test_an_invalid_request_is_refused_in_json(app: Flask, body: Any) -> None:
    client = app.test_client(use_cookies=False)
    read_refusal(client.post(PATH, data=body, content_type="application/x-www-form-urlencoded"))
    read_refusal(client.post(PATH, data=json.dumps({"logout_token": "x"}), content_type="application/json"))


def test_the_token_comes_in_the_body_of_a_post_alone(app: Flask, browser: Browser, provider: FakeProvider) -> None:
    browser.enter()
    token = signed(claims_of(provider))
    client = app.test_client(use_cookies=False)
    assert client.get(PATH, query_string={"logout_token": token}).status_code == 405
    read_refusal(client.post(PATH, query_string={"logout_token": token}))
    assert client.post(PATH, data={"logout_token": "x" * 100_000}).status_code in {400, 413}
    assert is_inside(browser)


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
