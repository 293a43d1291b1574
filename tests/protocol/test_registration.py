"""Clients that register themselves with an invitation (RFC 7591, OpenID Connect Registration 1.0)."""

import json
from datetime import timedelta

import pytest
import time_machine
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts.models import Account
from idp.clients.models import Client, ClientInvite
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.registration import invitations
from tests.builders import COLLEGE, Build
from tests.protocol.flow import OFFLINE, tokens_for
from tests.protocol.registering import MINIMAL, SCOPES, bearer, bound, invited, party, register, registered, replaced
from tests.protocol.test_races import rush


def test_a_client_registers_itself_and_signs_people_in(
    browser: FlaskClient, invitation: str, session: Account, settings: Settings
) -> None:
    """RFC 7591, 3.2."""
    registration = registered(browser, invitation, grant_types=["authorization_code", "refresh_token"])
    assert registration["client_secret_expires_at"] == 0
    assert registration["registration_client_uri"] == f"{settings.issuer}/register/{registration['client_id']}"
    assert registration["token_endpoint_auth_method"] == "client_secret_basic"
    assert set(registration["scope"].split()) == set(SCOPES)
    ent = party(settings, registration)
    tokens = tokens_for(browser, ent, scope=OFFLINE)
    assert ent.refresh(browser, tokens["refresh_token"]).status_code == 200
    assert ent.userinfo(browser, tokens["access_token"]).get_json()["uai"] == [COLLEGE]


def test_a_registration_needs_an_unused_invitation(browser: FlaskClient, invitation: str) -> None:
    """RFC 7591, 3; RFC 6750, 3.1."""
    for token in ("x" * 43, "x", "x" * 5000):
        answer = register(browser, token)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="idp", error="invalid_token"'
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Basic eDp5"}, {"Authorization": "é"}):
        answer = browser.post("/register", json=MINIMAL, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="idp"'
    registered(browser, invitation)
    assert register(browser, invitation).status_code == 401
    late = invitations.invite("ENT", [COLLEGE], invitations.Bounds(scopes=SCOPES), timedelta(days=1))[1]
    with time_machine.travel(now() + timedelta(days=1, seconds=1), tick=False):
        assert register(browser, late).status_code == 401


def test_a_refused_invitation_says_what_to_do(browser: FlaskClient, invitation: str) -> None:
    """RFC 6750, 3."""

    def read_refusal(**headers: str) -> str:
        return str(browser.post("/register", json=MINIMAL, headers=headers).get_json()["error_description"])

    registration = registered(browser, invitation)
    late = invitations.invite("ENT", [COLLEGE], invitations.Bounds(scopes=SCOPES), timedelta(days=1))[1]
    with time_machine.travel(now() + timedelta(days=1, seconds=1), tick=False):
        [answer] = {
            read_refusal(**bearer(token))
            for token in (invitation, late, "x" * 43, registration["registration_access_token"])
        }
    assert answer == (
        "this invitation is not valid: each one serves once, or as often as the engineer said, and expires after some "
        "days; ask the engineer of this service for another"
    )
    unsent = {read_refusal(), read_refusal(Authorization="Basic eDp5"), read_refusal(Authorization="Bearer ")}
    assert unsent == {"the invitation is needed: send its token as Authorization: Bearer"}
    path = f"/register/{registration['client_id']}"
    assert "Authorization: Bearer" in browser.get(path).get_json()["error_description"]
    assert "invitation" not in browser.get(path, headers=bearer("x")).get_json()["error_description"]


def test_wrong_tokens_are_slowed_and_right_ones_are_not(browser: FlaskClient, invitation: str) -> None:
    """OpenID Connect Registration 1.0, 4.4. Wrong tokens are also counted by IP, at both endpoints together."""
    for place in ("/register", "/register/nobody") * 50:
        method = "POST" if place == "/register" else "GET"
        assert browser.open(place, method=method, json=MINIMAL, headers=bearer("x" * 43)).status_code == 401
    for place, method in (("/register", "POST"), ("/register/nobody", "GET"), ("/register/nobody", "DELETE")):
        answer = browser.open(place, method=method, json=MINIMAL, headers=bearer("x" * 43))
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) >= 1
    registration = registered(browser, invitation)
    assert replaced(browser, registration).status_code == 200


@pytest.mark.row("N-03")
def test_a_client_gets_no_more_schools_or_scopes_than_its_invitation_says(browser: FlaskClient) -> None:
    """RFC 7591, 3.2.1."""
    token = invited(["openid", "profile"])
    registration = registered(browser, token, scope="openid profile email ent charter offline_access", uai=["0599002P"])
    assert registration["scope"] == "openid profile"
    client = db.session.scalars(select(Client)).one()
    assert client.uais == [COLLEGE]
    answer = replaced(browser, registration, scope="openid ent", grant_types=["refresh_token"], uai=["0599002P"])
    assert answer.get_json()["scope"] == "openid"
    db.session.expire_all()
    assert client.uais == [COLLEGE]


def test_many_processes_use_an_invitation_and_one_client_is_registered(settings: Settings, invitation: str) -> None:
    """OpenID Connect Registration 1.0, 1.2."""
    order = {
        "path": "/register",
        "method": "POST",
        "data": json.dumps(MINIMAL),
        "content_type": "application/json",
        "headers": bearer(invitation),
    }
    [answers] = rush(settings.database_url, settings.issuer, [order], processes=8)
    assert sorted(status for status, *_ in answers) == [201] + [401] * 7
    assert len(db.session.scalars(select(Client)).all()) == 1
    assert db.session.scalars(select(ClientInvite)).one().uses_left == 0


def test_clients_without_a_name_that_register_at_once_are_numbered(settings: Settings, build: Build) -> None:
    metadata = {name: value for name, value in MINIMAL.items() if name != "client_name"}
    order = {
        "path": "/register",
        "method": "POST",
        "data": json.dumps(metadata),
        "content_type": "application/json",
        "headers": bearer(bound(uses=3)),
    }
    [answers] = rush(settings.database_url, settings.issuer, [order], processes=8)
    assert sorted(status for status, *_ in answers) == [201] * 3 + [401] * 5
    assert sorted(db.session.scalars(select(Client.name))) == ["ENT", "ENT 2", "ENT 3"]
    assert db.session.scalars(select(ClientInvite)).one().uses_left == 0
