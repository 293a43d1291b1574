"""Pushed authorization requests (RFC 9126)."""

import json
import time
from typing import Any
from urllib.parse import urlencode

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from idp import opaque
from idp.accounts.models import Account
from idp.clients.models import Client
from idp.db import db
from idp.oidc.models import AuthorizationCode, PushedRequest
from idp.registration import registrations
from tests.builders import PASSWORD, Build, commit
from tests.dpop_party import Key, KeyedParty
from tests.pages import follow, heading, sign_in, submit
from tests.protocol.flow import refused, stays_here
from tests.relying_party import Attempt

URN = "urn:ietf:params:oauth:request_uri:"


@pytest.fixture
def party(build: Build) -> KeyedParty:
    return KeyedParty.of(build.ent())


def pushed_count() -> int:
    return db.session.scalar(select(func.count()).select_from(PushedRequest)) or 0


def later(seconds: float) -> time_machine.travel:
    return time_machine.travel(time.time() + seconds)


def untrusted(browser: FlaskClient, url: str) -> None:
    """Check that the URL shows an error page with the code for a wrong request URI."""
    assert "invalid request_uri" in stays_here(browser.get(url))


def test_a_pushed_request_gets_a_random_request_uri(browser: FlaskClient, party: KeyedParty) -> None:
    # RFC 9126, 2.2.
    response = party.push(browser, Attempt(), state="Zoé & Malo")
    assert (response.status_code, response.mimetype) == (201, "application/json")
    assert "no-store" in response.headers["Cache-Control"]
    body = response.get_json()
    assert (set(body), body["expires_in"]) == ({"request_uri", "expires_in"}, 90)
    prefix, reference = body["request_uri"][: len(URN)], body["request_uri"][len(URN) :]
    assert (prefix, len(reference)) == (URN, 43)
    assert party.pushed(browser, Attempt()) != body["request_uri"]
    row = db.session.get_one(PushedRequest, opaque.digest(body["request_uri"]))
    assert row.parameters["state"] == "Zoé & Malo"
    assert row.used_at is None


def test_client_credentials_and_unknown_parameters_are_not_stored(browser: FlaskClient, build: Build) -> None:
    # RFC 6819, 5.1.4.1.3; RFC 6749, 3.1.
    ent = build.ent(auth_method="client_secret_post")
    party = KeyedParty(ent.issuer, ent.client_id, None, ent.redirect_uri, ent.scopes)
    assert ent.secret
    party.pushed(browser, Attempt(), client_secret=ent.secret, unheard_of="x" * 9000)
    parameters = db.session.scalars(select(PushedRequest.parameters)).one()
    assert parameters.keys().isdisjoint({"client_secret", "unheard_of"})
    assert ent.secret not in str(parameters)


def test_parameters_beside_a_request_uri_are_ignored(
    browser: FlaskClient, party: KeyedParty, session: Account, attempt: Attempt
) -> None:
    # RFC 9101, 6.3; RFC 9126, 4.
    request_uri = party.pushed(browser, attempt, state="mine é & co", scope="openid email")
    beside = {
        "redirect_uri": "https://evil.test/cb",
        "response_type": "token",
        "scope": "openid ent",
        "state": "other",
        "nonce": "other",
        "prompt": "none login",
        "code_challenge": "x",
        "request": "x.y.z",
        "claims": "{",
    }
    answer = party.answer(browser.get(f"{party.opened(request_uri, **beside)}&scope=twice"))
    assert answer["state"] == "mine é & co"
    assert party.tokens(browser, answer["code"], attempt)["scope"] == "openid email"
    assert db.session.get_one(PushedRequest, opaque.digest(request_uri)).used_at is not None


def test_signing_in_may_take_longer_than_the_request_lives(
    browser: FlaskClient, party: KeyedParty, parent: Account, attempt: Attempt
) -> None:
    # RFC 9126, 2.2.
    page = follow(browser, browser.get(party.opened(party.pushed(browser, attempt))))
    assert heading(page) == "Connexion"
    with later(600):
        answer = party.answer(submit(browser, page, identifiant=parent.username, mot_de_passe=PASSWORD))
        assert party.tokens(browser, answer["code"], attempt)["claims"]["sub"]


def test_a_request_can_be_opened_until_it_gave_its_code(
    app: Flask, browser: FlaskClient, party: KeyedParty, parent: Account
) -> None:
    # RFC 9126, 4.
    opened = party.opened(party.pushed(browser, Attempt()))
    tabs = [follow(browser, browser.get(opened)) for _ in range(3)]
    assert [heading(tab) for tab in tabs] == ["Connexion"] * 3
    other = app.test_client()
    assert heading(follow(other, other.get(opened))) == "Connexion"
    assert party.answer(submit(browser, tabs[0], identifiant=parent.username, mot_de_passe=PASSWORD))["code"]
    untrusted(browser, opened)
    untrusted(other, opened)
    assert "Cette demande de connexion a expiré, ou elle a déjà servi." in browser.get(opened).text
    # a request of another tab ends on the same page
    over = browser.get(tabs[1].request.full_path.replace("/connexion?", "/authorize/resume?"))
    assert "invalid request_uri" in stays_here(over)
    assert db.session.scalar(select(func.count()).select_from(AuthorizationCode)) == 1


def test_an_expired_foreign_or_unknown_request_gets_a_page(
    browser: FlaskClient, build: Build, party: KeyedParty, session: Account
) -> None:
    # RFC 9126, 4, 2.2.
    with time_machine.travel(time.time(), tick=False) as clock:
        pushed, lives = time.time(), party.push(browser, Attempt()).get_json()
        request_uri = lives["request_uri"]
        untrusted(browser, KeyedParty.of(build.ent("Horizon", "horizon.test")).opened(request_uri))
        for unknown in (
            URN,
            f"{URN}{'x' * 43}",
            f"{request_uri}x",
            f"{request_uri} ",
            f"{URN}é\U0001f600",
            URN + "x" * 900,
        ):
            untrusted(browser, party.opened(unknown))
        for nobody in ({}, {"client_id": "nobody"}):
            query = urlencode({"request_uri": request_uri, **nobody})
            assert "invalid client_id" in stays_here(browser.get(f"/authorize?{query}"))
        clock.move_to(pushed + lives["expires_in"] + 1)
        untrusted(browser, party.opened(request_uri))
        clock.move_to(pushed + lives["expires_in"] - 1)
        assert party.answer(browser.get(party.opened(request_uri)))["code"]


def test_a_request_is_judged_again_when_it_is_opened(browser: FlaskClient, party: KeyedParty, session: Account) -> None:
    # RFC 9126, 4.
    narrowed, moved, shut = (party.pushed(browser, Attempt()) for _ in range(3))
    commit(update(Client).values(scopes=["openid"], version=Client.version + 1))
    assert party.answer(browser.get(party.opened(narrowed)))["error"] == "invalid_scope"
    commit(update(Client).values(redirect_uris=["https://ent.test/other"], version=Client.version + 1))
    assert "invalid redirect_uri" in stays_here(browser.get(party.opened(moved)))
    registrations.disable(party.client_id)
    assert "invalid client_id" in stays_here(browser.get(party.opened(shut)))


FAULTS: dict[str, tuple[dict[str, str | None], str]] = {
    "another address": ({"redirect_uri": "https://ent.test/other"}, "invalid_request"),
    "a query added": ({"redirect_uri": "https://ent.test/cb?x=1"}, "invalid_request"),
    "no address": ({"redirect_uri": None}, "invalid_request"),
    "no response type": ({"response_type": None}, "invalid_request"),
    "a hybrid flow": ({"response_type": "code id_token"}, "unsupported_response_type"),
    "the implicit flow": ({"response_type": "token"}, "unsupported_response_type"),
    "a fragment": ({"response_mode": "fragment"}, "invalid_request"),
    "no challenge": ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
    "a plain challenge": ({"code_challenge_method": "plain"}, "invalid_request"),
    "a method that is not said": ({"code_challenge_method": None}, "invalid_request"),
    "half a challenge": ({"code_challenge": "x" * 42}, "invalid_request"),
    "no openid": ({"scope": "email"}, "invalid_scope"),
    "a scope that is not its own": ({"scope": "openid offline_access"}, "invalid_scope"),
    "none and more": ({"prompt": "none login"}, "invalid_request"),
    "an age that is none": ({"max_age": "-1"}, "invalid_request"),
    "a hint of another": ({"id_token_hint": "x.y.z"}, "invalid_request"),
    "claims that are no JSON": ({"claims": "{"}, "invalid_request"),
    "a thumbprint that is none": ({"dpop_jkt": "x"}, "invalid_request"),
    "a state that is too long": ({"state": "x" * 5000}, "invalid_request"),
    "a request object": ({"request": "x.y.z"}, "request_not_supported"),
    "a registration": ({"registration": "{}"}, "registration_not_supported"),
    "a request URI": ({"request_uri": f"{URN}{'x' * 43}"}, "invalid_request"),
    "a request URI elsewhere": ({"request_uri": "https://ent.test/request.jwt"}, "invalid_request"),
    "no name": ({"client_id": None}, "invalid_request"),
}
"""Faults of a request with their errors; RFC 9126 2.1 refuses `request_uri` first."""


def test_a_request_is_refused_as_the_authorization_endpoint_would(
    browser: FlaskClient, party: KeyedParty, session: Account
) -> None:
    # RFC 9126, 2.1.
    for name, (changes, error) in FAULTS.items():
        response = party.push(browser, Attempt(), **{"client_id": party.client_id, **changes})
        assert (name, response.get_json()["error"]) == (name, error)
        refused(response, error)
        plain = browser.get(party.url(Attempt(), **changes))
        if plain.status_code == 303 and "request_uri" not in changes:
            assert party.answer(plain)["error"] == error
    assert pushed_count() == 0


def test_a_client_that_must_push_is_not_answered_otherwise(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    # RFC 9126, 6.
    party = KeyedParty.of(build.ent(par_required=True))
    answer = party.answer(browser.get(party.url(Attempt(), state="s")))
    assert (answer["error"], answer["state"]) == ("invalid_request", "s")
    assert "invalid redirect_uri" in stays_here(browser.get(party.url(Attempt(), redirect_uri="https://evil.test/")))
    assert party.answer(browser.get(party.opened(party.pushed(browser, Attempt()))))["code"]


def test_a_proof_and_a_thumbprint_must_name_one_key(browser: FlaskClient, party: KeyedParty) -> None:
    # RFC 9449, 10.1.
    other = Key.new()
    refused(party.push(browser, Attempt(), party.fresh_proof("/par"), dpop_jkt=other.thumbprint), "invalid_dpop_proof")
    refused(party.push(browser, Attempt(), party.fresh_proof("/token")), "invalid_dpop_proof")
    assert pushed_count() == 0
    thumbprints: list[Any] = []
    for proof, more in (
        (True, {}),
        (True, {"dpop_jkt": party.key.thumbprint}),
        (False, {"dpop_jkt": other.thumbprint}),
    ):
        request_uri = party.pushed(browser, Attempt(), party.fresh_proof("/par") if proof else None, **more)
        thumbprints.append(db.session.get_one(PushedRequest, opaque.digest(request_uri)).parameters["dpop_jkt"])
    assert thumbprints == [party.key.thumbprint, party.key.thumbprint, other.thumbprint]


def test_the_pushed_request_endpoint_sets_no_cookie(browser: FlaskClient, party: KeyedParty, parent: Account) -> None:
    # RFC 9126, abstract. The endpoint reads and sets no cookies.
    sign_in(browser, "/connexion", parent.username, PASSWORD)
    assert "Set-Cookie" not in party.push(browser, Attempt()).headers


def test_the_size_of_a_pushed_request_is_limited(browser: FlaskClient, build: Build, session: Account) -> None:
    # RFC 9126, 2.3.
    party = KeyedParty.of(build.ent())
    longest = {"state": "s" * 4096, "nonce": "n" * 600, "login_hint": "h" * 300}
    assert party.answer(browser.get(party.opened(party.pushed(browser, Attempt(), **longest))))["code"]
    for heap in (
        {"state": "\N{GRINNING FACE}" * 4096},
        {"scope": "openid " * 1400, "prompt": "login " * 1600},
        {"ui_locales": "fr " * 3000, "scope": "openid " * 1400},
    ):
        refused(party.push(browser, Attempt(), **heap), "invalid_request", 413)
    [row] = db.session.scalars(select(PushedRequest)).all()
    assert len(json.dumps(row.parameters)) < 6000
