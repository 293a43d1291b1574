"""A change of a registration applies at once to existing tokens, codes and requests."""

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts.models import Account
from idp.clients.models import Client
from idp.db import db
from tests.builders import PASSWORD, Build
from tests.pages import follow, sign_in, submit
from tests.protocol.flow import HOST, OFFLINE, code_for, refused, tokens_for
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row

NARROW = ["openid", "offline_access"]


@pytest.fixture
def offline(build: Build) -> RelyingParty:
    return build.ent(scopes=OFFLINE)


def changed(ent: RelyingParty, **values: Any) -> None:
    """Change a registration as `idp client set` does, with a new version for the caches."""
    client = db.session.scalars(select(Client).where(Client.client_id == ent.client_id)).one()
    for name, value in values.items():
        setattr(client, name, value)
    client.version += 1
    db.session.commit()


@pytest.mark.row("A-19")
def test_claims_of_a_removed_scope_are_not_released(
    browser: FlaskClient, offline: RelyingParty, session: Account
) -> None:
    # RFC 6749, 3.3.
    tokens = tokens_for(browser, offline, scope=OFFLINE)
    assert "email" in offline.userinfo(browser, tokens["access_token"]).get_json()
    changed(offline, scopes=NARROW)
    assert set(offline.userinfo(browser, tokens["access_token"]).get_json()) == {"sub"}
    charter = browser.get("/charter", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert (charter.status_code, charter.get_json()["error"]) == (403, "insufficient_scope")
    again = offline.refresh(browser, tokens["refresh_token"]).get_json()
    assert again["scope"] == " ".join(NARROW)
    assert set(offline.userinfo(browser, again["access_token"]).get_json()) == {"sub"}
    assert not {"charter_accepted", "email"} & offline.read(browser, again["id_token"]).keys()
    described = browser.post("/introspect", data={"token": again["access_token"]}, headers=offline.basic()).get_json()
    assert described["scope"] == " ".join(NARROW)


@pytest.mark.row("A-19")
def test_an_older_code_grants_the_remaining_scopes_only(
    browser: FlaskClient, offline: RelyingParty, session: Account, attempt: Attempt
) -> None:
    # RFC 6749, 3.3. The code has more scopes than the client may now have.
    code = code_for(browser, offline, attempt, scope=OFFLINE)
    changed(offline, scopes=["openid", "profile"])
    tokens = offline.tokens(browser, code, attempt)
    assert tokens["scope"] == "openid profile"
    assert "refresh_token" not in tokens


@pytest.mark.row("T-22")
def test_a_client_that_may_not_refresh_any_more_does_not(
    browser: FlaskClient, offline: RelyingParty, session: Account
) -> None:
    # RFC 6749, 5.2.
    tokens = tokens_for(browser, offline, scope=OFFLINE)
    changed(offline, scopes=["openid", "profile"])
    refused(offline.refresh(browser, tokens["refresh_token"]), "unauthorized_client")


@pytest.mark.row("A-22")
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"scopes": ["openid", "profile"]}, "invalid_scope"),
        ({"pkce_required": True}, "invalid_request"),
        ({"par_required": True}, "invalid_request"),
    ],
    ids=["scope", "PKCE", "PAR"],
)
def test_a_request_is_checked_again_after_the_sign_in(
    app: Flask, build: Build, parent: Account, change: dict[str, Any], error: str
) -> None:
    # RFC 6749, 4.1.1.
    ent, browser, attempt = build.ent(pkce_required=False), app.test_client(), Attempt()
    page = follow(browser, browser.get(ent.url(attempt, code_challenge=None, code_challenge_method=None)))
    changed(ent, **change)
    answer = ent.answer(submit(browser, page, identifiant=parent.username, mot_de_passe=PASSWORD))
    assert (answer["error"], answer["state"]) == (error, attempt.state)


@pytest.mark.row("U-06")
def test_two_ents_know_a_session_by_two_names(browser: FlaskClient, build: Build, session: Account) -> None:
    # OpenID Connect Core 1.0, 17.3.
    first, second = build.ent("Un", "un.test"), build.ent("Deux", "deux.test")
    sids = [tokens_for(browser, ent)["claims"]["sid"] for ent in (first, second, first)]
    assert sids[0] == sids[2] != sids[1]


@pytest.mark.row("A-17")
def test_a_reauthentication_keeps_the_tokens_of_another_ent(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1.
    first, second = build.ent("Un", "un.test", scopes=OFFLINE), build.ent("Deux", "deux.test")
    tokens = tokens_for(browser, first, scope=OFFLINE)
    before = browser.get_cookie("__Host-ss", domain=HOST)
    page = sign_in(browser, second.url(Attempt(), prompt="login"), session.username, PASSWORD)
    assert second.answer(page)["code"]
    assert browser.get_cookie("__Host-ss", domain=HOST) != before
    assert first.userinfo(browser, tokens["access_token"]).status_code == 200
    again = first.refresh(browser, tokens["refresh_token"]).get_json()
    claims = first.read(browser, again["id_token"])
    assert (claims["sid"], claims["auth_time"]) == (tokens["claims"]["sid"], tokens["claims"]["auth_time"])


def test_a_head_request_changes_nothing(
    browser: FlaskClient, ent: RelyingParty, session: Account, attempt: Attempt
) -> None:
    # RFC 9110, 9.2.1.
    for path in (ent.url(attempt), "/logout", "/authorize/resume", "/authorize/refus"):
        answer = browser.head(path)
        assert (answer.status_code, answer.headers.get("Location"), answer.get_data()) == (200, None, b"")
    assert ent.tokens(browser, code_for(browser, ent, attempt), attempt)["id_token"]


@each_row("depth", [10, 400, 960, 968, 969, 975, 990, 3000])
def test_a_claims_request_that_is_nested_too_deep_is_refused_at_once(
    browser: FlaskClient, ent: RelyingParty, session: Account, depth: int
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.6. The token endpoint reads the request again and must always be able to parse
    # it.
    nested = f'{{"id_token":{{"name":{{"value":{"[" * depth}{"]" * depth}}}}}}}'
    if len(nested) < 3000:
        assert ent.answer(browser.get(ent.url(Attempt(), claims=nested)))["error"] == "invalid_request"
    shallow = json.dumps({"id_token": {"name": {"values": [["x"], {"a": [1]}]}}})
    assert "name" not in tokens_for(browser, ent, claims=shallow)["claims"]
