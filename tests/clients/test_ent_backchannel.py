"""Back-channel logout of the sample ENT: valid tokens end its sessions, other tokens do not."""

import json
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import time_machine
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from flask import Flask
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from werkzeug.test import TestResponse

from clients.ent.app import create_app
from clients.ent.settings import read_settings
from tests.clients.conftest import Browser, change, environment
from tests.clients.fake_provider import (
    CLIENT_ID,
    EC,
    OTHER_RSA,
    RSA,
    Claims,
    FakeProvider,
    signed_with_public_key,
    unsigned,
)
from tests.rows import each_row
from tests.signatures import b64

PATH = "/backchannel-logout"
EVENT = "http://schemas.openid.net/event/backchannel-logout"
SUB = FakeProvider.sub


def claims_of(provider: FakeProvider, **changes: object) -> Claims:
    moment = int(time.time())
    return change(**changes)(
        {
            "iss": provider.issuer,
            "sub": SUB,
            "aud": CLIENT_ID,
            "iat": moment,
            "exp": moment + 120,
            "jti": f"jti-{time.monotonic_ns()}",
            "events": {EVENT: {}},
            "sid": "sid-1",
        }
    )


def signed(claims: Claims, key: RSAKey | ECKey = RSA, **header: Any) -> str:
    alg = "ES256" if isinstance(key, ECKey) else "RS256"
    head = {"alg": alg, "kid": key.kid, "typ": "logout+jwt", **header}
    return jwt.encode({k: v for k, v in head.items() if v is not None}, claims, key, algorithms=[alg])


def forged(claims: Claims, **header: object) -> str:
    """Return a malformed token with a valid signature."""
    head = {"alg": "RS256", "kid": "rsa-1", "typ": "logout+jwt", **header}
    head = {name: value for name, value in head.items() if value is not None}
    signing = ".".join(b64(json.dumps(part).encode()) for part in (head, claims))
    assert RSA.private_key is not None
    signature = RSA.private_key.sign(signing.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signing}.{b64(signature)}"


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
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.content_type == "application/json"
    body = answer.get_json()
    assert body["error"] == "invalid_request"
    return str(body["error_description"])


def test_the_end_of_one_session_does_not_lose_the_sign_in_that_is_on_its_way(
    app: Flask, browser: Browser, provider: FakeProvider
) -> None:
    """A parent signs out and in again before the logout token arrives."""
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


@pytest.mark.parametrize(
    "changes",
    [{"sub": None}, {"sid": None}, {"aud": [CLIENT_ID]}, {"events": {EVENT: {}, "https://exemple.fr/other": {}}}],
    ids=["a session alone", "a person alone", "a list of one audience", "another event too"],
)
def test_each_form_that_the_specification_allows_is_accepted(
    app: Flask, browser: Browser, provider: FakeProvider, changes: dict[str, object]
) -> None:
    browser.enter()
    assert_accepted(tell(app, signed(claims_of(provider, **changes))))
    assert not is_inside(browser)


@pytest.mark.parametrize("media_type", ["logout+jwt", "LOGOUT+JWT", "application/logout+jwt"])
def test_the_type_is_compared_as_media_types_are(app: Flask, provider: FakeProvider, media_type: str) -> None:
    assert_accepted(tell(app, signed(claims_of(provider), typ=media_type)))


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


def test_a_logout_token_for_an_unknown_session_is_accepted(
    app: Flask, browser: Browser, provider: FakeProvider
) -> None:
    browser.enter()
    assert_accepted(tell(app, signed(claims_of(provider, sid="ailleurs"))))
    assert is_inside(browser)


def test_pending_sign_in_survives_a_logout_token(app: Flask, browser: Browser, provider: FakeProvider) -> None:
    url = browser.leave()
    assert_accepted(tell(app, signed(claims_of(provider))))
    assert browser.get(url).status_code == 303, "the sign-in on its way goes on"


FOREIGN, NO_ONE = "the token is for another client", "the token names neither a person nor a session"
NO_EVENT = "the token has no logout event"
NONCE, WRONG_TYPE = "the token has a nonce, as an ID token has", "the typ of the token is not that of logout_token"
NOT_RECENT, BROKEN = "the token was not issued recently", "the signature of the token cannot be checked"
NO_KEY = "the token is signed by a key that the provider does not publish"
NOT_A_JWT, OTHER_ALG = "the token is not a signed JWT", "the token is not signed with RS256, the registered algorithm"
LIES: dict[str, tuple[Callable[[FakeProvider], str], str]] = {
    "another provider": (
        lambda p: signed(claims_of(p, iss="https://ailleurs.example")),
        "the token comes from another provider",
    ),
    "no provider": (lambda p: signed(claims_of(p, iss=None)), "the token comes from another provider"),
    "another site": (lambda p: signed(claims_of(p, aud="autre")), FOREIGN),
    "two sites": (lambda p: signed(claims_of(p, aud=[CLIENT_ID, "autre"])), FOREIGN),
    "no site": (lambda p: signed(claims_of(p, aud=None)), FOREIGN),
    "expired": (lambda p: signed(claims_of(p, exp=int(time.time()) - 60)), "the token has expired"),
    "no end": (lambda p: signed(claims_of(p, exp=None)), "the token has no usable exp"),
    "old": (lambda p: signed(claims_of(p, iat=int(time.time()) - 900)), NOT_RECENT),
    "to come": (lambda p: signed(claims_of(p, iat=int(time.time()) + 900)), NOT_RECENT),
    "no date": (lambda p: signed(claims_of(p, iat=None)), "the token has no usable iat"),
    "a nonce": (lambda p: signed(claims_of(p, nonce="n")), NONCE),
    "an empty nonce": (lambda p: signed(claims_of(p, nonce="")), NONCE),
    "no event": (lambda p: signed(claims_of(p, events=None)), NO_EVENT),
    "another event": (lambda p: signed(claims_of(p, events={"https://exemple.fr/other": {}})), NO_EVENT),
    "an event that is no object": (lambda p: signed(claims_of(p, events={EVENT: True})), NO_EVENT),
    "events in a list": (lambda p: signed(claims_of(p, events=[EVENT])), NO_EVENT),
    "nobody": (lambda p: signed(claims_of(p, sub=None, sid=None)), NO_ONE),
    "an empty session": (lambda p: signed(claims_of(p, sid="")), "the token has no usable sid"),
    "a session that is a number": (lambda p: signed(claims_of(p, sid=1)), "the token has no usable sid"),
    "an endless session": (lambda p: signed(claims_of(p, sid="s" * 256)), "the token has no usable sid"),
    "a session that is no ASCII": (lambda p: forged(claims_of(p, sid="\ud800")), "the token has no usable sid"),
    "an empty person": (lambda p: signed(claims_of(p, sub="")), "the token has no usable sub"),
    "a person that is a list": (lambda p: signed(claims_of(p, sub=[SUB])), "the token has no usable sub"),
    "no name": (lambda p: signed(claims_of(p, jti=None)), "the token has no usable jti"),
    "an empty name": (lambda p: signed(claims_of(p, jti="")), "the token has no usable jti"),
    "the type of an ID token": (lambda p: signed(claims_of(p), typ="JWT"), WRONG_TYPE),
    "an empty type": (lambda p: signed(claims_of(p), typ=""), WRONG_TYPE),
    "a type that is no text": (lambda p: forged(claims_of(p), typ=["logout+jwt"]), BROKEN),
    "a name that is no ASCII": (lambda p: forged(claims_of(p, jti="\ud800")), "the token has no usable jti"),
    "a date without end": (lambda p: forged(claims_of(p, exp=float("inf"))), "the token has no usable exp"),
    "a date that is too large": (lambda p: forged(claims_of(p, exp=10**400)), "the token has no usable exp"),
    "an end that is no number": (lambda p: forged(claims_of(p, exp=float("nan"))), "the token has no usable exp"),
    "another signature than the one registered": (lambda p: signed(claims_of(p), EC), OTHER_ALG),
    "a part that must be understood": (
        lambda p: forged(claims_of(p), crit=["x"], x=1),
        "the token has an unsupported extension",
    ),
    "claims that are a list": (
        lambda _: forged([]),  # type: ignore[arg-type]  # that is the lie
        "the signature of the token is wrong",
    ),
    "a key of the same name that is not published": (
        lambda p: signed(claims_of(p), OTHER_RSA),
        "the signature of the token is wrong",
    ),
    "a key that is published nowhere": (lambda p: signed(claims_of(p), kid="inconnue"), NO_KEY),
    "no key's name, and another key": (
        lambda p: signed(claims_of(p), OTHER_RSA, kid=None),
        "the signature of the token is wrong",
    ),
    "no signature": (lambda p: unsigned(claims_of(p)), "the token is not signed"),
    "our public key as a shared secret": (lambda p: signed_with_public_key(claims_of(p)), OTHER_ALG),
    "no JWT": (lambda _: "a.b", NOT_A_JWT),
    "no text": (lambda _: "\x00", NOT_A_JWT),
    "nothing": (lambda _: "", NOT_A_JWT),
    "an ID token": (lambda p: p.id_token({"nonce": "n"}, "at-x"), WRONG_TYPE),
}


@each_row("lie", LIES)
def test_an_invalid_logout_token_ends_no_session(
    app: Flask, browser: Browser, provider: FakeProvider, lie: str
) -> None:
    """Back-Channel Logout 1.0, 2.6: each validation rule refuses a token."""
    if not is_inside(browser):
        browser.enter()
    token, sentence = LIES[lie]
    assert read_refusal(tell(app, token(provider))) == sentence
    assert is_inside(browser)


def test_each_rule_of_logout_tokens_has_its_own_refusal() -> None:
    """Back-Channel Logout 1.0, 2.6, steps 2 to 8: each fault has its own message."""
    rules = (
        "another provider",
        "another site",
        "expired",
        "old",
        "no date",
        "no name",
        "no event",
        "a nonce",
        "nobody",
    )
    signatures = ("no signature", "another signature than the one registered", "a key that is published nowhere")
    sentences = [LIES[rule][1] for rule in (*rules, *signatures, "a key of the same name that is not published")]
    assert len(set(sentences)) == len(sentences)


@pytest.mark.parametrize(("typ", "kid"), [(None, "rsa-1"), ("logout+jwt", None), (None, None)])
def test_a_logout_token_may_leave_its_type_and_its_key_s_name_out(
    app: Flask, browser: Browser, provider: FakeProvider, typ: str | None, kid: str | None
) -> None:
    """Back-Channel Logout 1.0, 2.4: the explicit type is recommended, not required."""
    browser.enter()
    assert_accepted(tell(app, forged(claims_of(provider), typ=typ, kid=kid)))
    assert not is_inside(browser)


def test_a_logout_token_is_no_id_token(browser: Browser, provider: FakeProvider) -> None:
    provider.sign = lambda claims: signed(claims_of(provider, nonce=None) | {"at_hash": claims["at_hash"]})
    answer = browser.sign_in()
    assert answer.status_code == 400
    assert "<b>typ</b>" in answer.text


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


def test_unreadable_keys_give_a_retryable_error(app: Flask, provider: FakeProvider) -> None:
    provider.metadata_lie = {"jwks_uri": f"{provider.issuer}/nowhere"}
    answer = tell(app, signed(claims_of(provider)))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.get_json()["error"] == "temporarily_unavailable"


def test_a_new_key_is_fetched_and_a_flood_of_unknown_ones_asks_the_provider_once(
    app: Flask, browser: Browser, provider: FakeProvider
) -> None:
    browser.enter()
    new = RSAKey.generate_key(2048, {"kid": "rsa-2", "use": "sig", "alg": "RS256"}, private=True)
    provider.keys = [*provider.keys, new]
    before = provider.calls.count("/jwks.json")
    assert_accepted(tell(app, signed(claims_of(provider), new)))
    assert not is_inside(browser)
    for index in range(20):
        read_refusal(tell(app, signed(claims_of(provider), kid=f"inconnue-{index}")))
    assert provider.calls.count("/jwks.json") == before + 1


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
