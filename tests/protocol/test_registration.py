"""Clients that register themselves with an invitation (RFC 7591), and manage their registration (RFC 7592)."""

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.clients.models import Client, ClientInvite
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.oidc import invites
from tests.builders import COLLEGE
from tests.dpop_party import Key
from tests.protocol.flow import OFFLINE, refused, tokens_for
from tests.protocol.test_races import rush
from tests.relying_party import RelyingParty

SCOPES = ["openid", "profile", "email", "ent", "charter", "offline_access"]
MINIMAL: dict[str, Any] = {"redirect_uris": ["https://nouveau.test/cb"], "client_name": "Nouveau"}


@pytest.fixture
def invitation(app: Flask) -> str:
    """A token that an operator gave."""
    return invites.invite("ENT", [COLLEGE], SCOPES, timedelta(days=7))[1]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def register(browser: FlaskClient, token: str, **metadata: Any) -> TestResponse:
    return browser.post("/register", json={**MINIMAL, **metadata}, headers=bearer(token))


def registered(browser: FlaskClient, token: str, **metadata: Any) -> dict[str, Any]:
    answer = register(browser, token, **metadata)
    assert answer.status_code == 201, answer.get_data(as_text=True)
    assert answer.headers["Cache-Control"] == "no-store"
    told: dict[str, Any] = answer.get_json()
    return told


def used(token: str) -> bool:
    db.session.rollback()
    return invites.find(token) is None


def test_a_client_registers_itself_and_signs_people_in(
    browser: FlaskClient, invitation: str, session: Account, settings: Settings
) -> None:
    """RFC 7591 3.2.1: « a 201 Created status code … with a body … containing all registered metadata »."""
    told = registered(browser, invitation, grant_types=["authorization_code", "refresh_token"])
    assert told["client_secret_expires_at"] == 0
    assert told["registration_client_uri"] == f"{settings.issuer}/register/{told['client_id']}"
    assert told["token_endpoint_auth_method"] == "client_secret_basic"
    assert set(told["scope"].split()) == set(SCOPES)
    ent = RelyingParty(
        settings.issuer, told["client_id"], told["client_secret"], told["redirect_uris"][0], told["scope"].split()
    )
    tokens = tokens_for(browser, ent, scope=OFFLINE)
    assert ent.refresh(browser, tokens["refresh_token"]).status_code == 200
    assert ent.userinfo(browser, tokens["access_token"]).get_json()["uai"] == [COLLEGE]


def test_an_invitation_is_needed_and_counts_once(browser: FlaskClient, invitation: str) -> None:
    """RFC 7591 3: « The … endpoint MAY be an OAuth 2.0 protected resource … an initial access token »."""
    for token in ("", "x" * 43, "é", "x" * 5000):
        answer = register(browser, token)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert browser.post("/register", json=MINIMAL).status_code == 401
    registered(browser, invitation)
    assert register(browser, invitation).status_code == 401
    late = invites.invite("ENT", [], SCOPES, timedelta(days=1))[1]
    with time_machine.travel(now() + timedelta(days=1, seconds=1), tick=False):
        assert register(browser, late).status_code == 401


def test_a_faulty_request_does_not_use_the_invitation_up(browser: FlaskClient, invitation: str) -> None:
    """RFC 7591 3.2.2: `invalid_redirect_uri` and `invalid_client_metadata`, with a sentence."""
    redirects: list[Any] = [[], ["http://nouveau.test/cb"], ["https://nouveau.test/cb#f"], "x", [5], None, ["x"] * 30]
    for uris in redirects:
        refused(register(browser, invitation, redirect_uris=uris), "invalid_redirect_uri")
    key = Key.new().jwk
    wrong: list[dict[str, Any]] = [
        {"initiate_login_uri": "http://nouveau.test/login"},
        {"jwks": {"keys": [key]}, "jwks_uri": "https://nouveau.test/keys"},
        {"jwks": {"keys": []}},
        {"jwks": {"keys": [Key.new().secret_jwk]}},
        {"token_endpoint_auth_method": "private_key_jwt"},
        {"token_endpoint_auth_method": "client_secret_jwt"},
        {"token_endpoint_auth_method": ["none"]},
        {"id_token_signed_response_alg": "none"},
        {"id_token_signed_response_alg": "ES256"},  # there is no such key
        {"userinfo_signed_response_alg": "HS256"},
        {"subject_type": "aaf"},
        {"grant_types": ["password"]},
        {"response_types": ["id_token"]},
        {"application_type": "native"},
        {"post_logout_redirect_uris": ["javascript:alert(1)"]},
        {"frontchannel_logout_uri": "https://elsewhere.test/out"},
        {"backchannel_logout_uri": "http://nouveau.test/out"},
        {"default_max_age": -1},
        {"default_max_age": 1.5},
        {"require_auth_time": "yes"},
        {"contacts": "a@b.test"},
        {"logo_uri": "http://nouveau.test/logo"},
        {"client_name": "x" * 81},
        {"client_name": "a\x00b"},
        {"id_token_encrypted_response_alg": "RSA-OAEP"},
        {"request_object_signing_alg": "RS256"},
        {"redirect_uris": ["https://un.test/cb", "https://deux.test/cb"], "sector_identifier_uri": "x"},
    ]
    for metadata in wrong:
        answer = register(browser, invitation, **metadata)
        refused(answer, "invalid_client_metadata")
        assert "--" not in answer.get_json()["error_description"], "the client's own names, not a command's"
    refused(register(browser, invitation, software_statement="a.b.c"), "unapproved_software_statement")
    for body in (b"", b"[", b"[]", b"5", b'{"a":1,"a":2}', b"[" * 60_000, b'{"a":NaN}', b"\xff"):
        answer = browser.post("/register", data=body, content_type="application/json", headers=bearer(invitation))
        refused(answer, "invalid_client_metadata")
    assert not used(invitation)
    registered(browser, invitation)


def test_n03_a_client_gets_no_more_schools_or_scopes_than_its_invitation_says(browser: FlaskClient) -> None:
    token = invites.invite("ENT", [COLLEGE], ["openid", "profile"], timedelta(days=7))[1]
    told = registered(browser, token, scope="openid profile email ent charter offline_access", uai=["0599002P"])
    assert told["scope"] == "openid profile"
    client = db.session.scalars(select(Client)).one()
    assert client.uais == [COLLEGE]
    own = bearer(told["registration_access_token"])
    body = {**MINIMAL, "client_id": told["client_id"], "scope": "openid ent", "grant_types": ["refresh_token"]}
    answer = browser.put(f"/register/{told['client_id']}", json=body, headers=own)
    assert answer.get_json()["scope"] == "openid"


def test_everything_that_was_registered_is_told_again(browser: FlaskClient, invitation: str) -> None:
    """OpenID Connect Registration 1.0, 2: the metadata; unknown members are ignored (RFC 7591 2)."""
    key = Key.new()
    metadata = {
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256",
        "jwks": {"keys": [{**key.jwk, "kid": "k"}]},
        "subject_type": "public",
        "default_max_age": 600,
        "require_auth_time": True,
        "initiate_login_uri": "https://nouveau.test/login",
        "post_logout_redirect_uris": ["https://nouveau.test/"],
        "backchannel_logout_uri": "https://nouveau.test/back",
        "backchannel_logout_session_required": True,
        "frontchannel_logout_uri": "https://nouveau.test/front",
        "require_pushed_authorization_requests": True,
        "dpop_bound_access_tokens": True,
        "client_uri": "https://nouveau.test/",
        "policy_uri": "https://nouveau.test/policy",
        "tos_uri": "https://nouveau.test/tos",
        "client_name#en": "New",
        "contacts": ["a@b.test"],
        "application_type": "web",
    }
    told = registered(browser, invitation, **metadata, unheard_of={"a": 1})
    assert "client_secret" not in told
    assert {name: told.get(name) for name in metadata} == metadata
    assert "unheard_of" not in told


def test_the_registration_is_read_replaced_and_ended(
    browser: FlaskClient, invitation: str, session: Account, settings: Settings
) -> None:
    """RFC 7592 2.1 to 2.3: GET 200, PUT 200 with all metadata, DELETE 204."""
    told = registered(browser, invitation)
    path, own = f"/register/{told['client_id']}", bearer(told["registration_access_token"])
    read = browser.get(path, headers=own)
    assert read.status_code == 200
    assert read.get_json() == {k: v for k, v in told.items() if k not in {"client_secret", "client_secret_expires_at"}}
    body = {
        **MINIMAL,
        "client_id": told["client_id"],
        "client_name": "Autre nom",
        "client_secret": told["client_secret"],
    }
    replaced = browser.put(path, json=body, headers=own)
    assert replaced.status_code == 200, replaced.get_data(as_text=True)
    assert replaced.get_json()["client_name"] == "Autre nom"
    ent = RelyingParty(settings.issuer, told["client_id"], told["client_secret"], MINIMAL["redirect_uris"][0], [])
    tokens = tokens_for(browser, ent)
    ended = browser.delete(path, headers=own)
    assert (ended.status_code, ended.data) == (204, b"")
    assert ent.userinfo(browser, tokens["access_token"]).status_code == 401
    assert browser.get(path, headers=own).status_code == 401
    kinds = db.session.scalars(
        select(AuditEntry.details).where(AuditEntry.kind == "client.changed_itself").order_by(AuditEntry.id)
    ).all()
    assert [details["change"] for details in kinds] == ["registered", "changed", "ended"]


def test_a_registration_is_changed_by_its_own_token_alone(browser: FlaskClient, invitation: str) -> None:
    """RFC 7592 2: « the client MUST … include … its registration access token »."""
    told, other = registered(browser, invitation), invites.invite("Autre", [], SCOPES, timedelta(days=7))[1]
    neighbour = registered(browser, other, redirect_uris=["https://voisin.test/cb"])
    path = f"/register/{told['client_id']}"
    body = {**MINIMAL, "client_id": told["client_id"]}
    for token in ("", "x", neighbour["registration_access_token"], told["client_secret"], invitation):
        for method in ("GET", "PUT", "DELETE"):
            answer = browser.open(path, method=method, json=body, headers=bearer(token))
            assert answer.status_code == 401, (method, token)
    own = bearer(told["registration_access_token"])
    for odd in ("x" * 20, "é", "%00", "..%2f", neighbour["client_id"]):
        assert browser.get(f"/register/{odd}", headers=own).status_code in {401, 404}
    wrong: list[dict[str, Any]] = [
        {"client_id": neighbour["client_id"]},
        {"client_id": None},
        {"client_secret": "chosen by the client"},
        {"registration_access_token": "x"},
        {"redirect_uris": ["https://autre.test/cb"]},  # another sector
    ]
    for change in wrong:
        assert browser.put(path, json={**body, **change}, headers=own).status_code == 400
    assert browser.post(path, json=body, headers=own).status_code == 405


def test_one_invitation_shown_by_many_processes_registers_one_client(settings: Settings, invitation: str) -> None:
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
    row = db.session.scalars(select(ClientInvite)).one()
    assert isinstance(row.client_id, uuid.UUID)


def test_anything_as_metadata_is_answered(browser: FlaskClient, invitation: str) -> None:
    names = [*MINIMAL, "jwks", "scope", "grant_types", "contacts", "default_max_age", "subject_type", "client_name#fr"]
    names += [
        "jwks_uri",
        "policy_uri",
        "token_endpoint_auth_method",
        "frontchannel_logout_uri",
        "sector_identifier_uri",
    ]
    leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=30))
    values = st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    )

    @limits(max_examples=150, database=None, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(st.sampled_from(names), values, min_size=1, max_size=4))
    def send(metadata: dict[str, Any]) -> None:
        answer = browser.post("/register", json={**MINIMAL, **metadata}, headers=bearer(invitation))
        assert answer.status_code in {201, 400, 401}
        assert answer.mimetype == "application/json"

    send()
