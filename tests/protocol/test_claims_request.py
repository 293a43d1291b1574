"""The `claims` parameter: what is asked for one by one (security rows A-26, U-04; OpenID Connect Core 1.0, 5.5)."""

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings, strategies as st
from sqlalchemy import select

from idp.accounts.models import Account
from idp.db import db
from idp.oidc.claims import parameter, release
from idp.oidc.models import AuthorizationCode, Token
from tests.builders import PASSWORD, Build
from tests.pages import sign_in
from tests.protocol.flow import OFFLINE, code_for, tokens_for
from tests.protocol.listening import listening
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row

IDENTITY = {"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash", "azp"}
PERSON = sorted(name for names in release.CLAIMS_BY_SCOPE.values() for name in names)


def fetch_claims(
    browser: FlaskClient, ent: RelyingParty, claims_request: dict[str, Any], scope: str = "openid"
) -> tuple[dict[str, Any], dict[str, Any]]:
    tokens = tokens_for(browser, ent, scope=scope, claims=json.dumps(claims_request))
    info: dict[str, Any] = ent.userinfo(browser, tokens["access_token"]).get_json()
    return tokens["claims"], info


@pytest.mark.row("U-04")
def test_claims_are_asked_for_where_they_are_wanted(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    # OpenID Connect Core 1.0, 5.5.
    in_token, info = fetch_claims(
        browser, ent, {"userinfo": {"given_name": {"essential": True}}, "id_token": {"email": None, "auth_time": None}}
    )
    assert set(in_token) == IDENTITY | {"email"}
    assert set(info) == {"sub", "given_name"}
    assert (in_token["email"], info["given_name"]) == ("noemie.leroy@exemple.fr", "Noémie")


@pytest.mark.row("U-04")
def test_claims_are_added_to_those_of_the_scopes(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    # OpenID Connect Core 1.0, 5.5.
    _, plain = fetch_claims(browser, ent, {}, "openid email")
    _, more = fetch_claims(browser, ent, {"userinfo": {"name": None}}, "openid email")
    assert set(plain) == {"sub", "email", "email_verified"}
    assert set(more) == set(plain) | {"name"}


@pytest.mark.row("U-04")
def test_no_request_goes_beyond_the_registration(browser: FlaskClient, build: Build, session: Account) -> None:
    # OpenID Connect Core 1.0, 5.5.1, 17.1.
    narrow = build.ent(scopes="openid profile")
    wish = {name: {"essential": True} for name in PERSON}
    in_token, info = fetch_claims(browser, narrow, {"userinfo": wish, "id_token": wish})
    profile = {"name", "given_name", "family_name", "locale", "updated_at"}
    assert set(info) == {"sub"} | profile
    assert set(in_token) == IDENTITY | profile
    wide = build.ent("Horizon", "horizon.test", scopes="openid", always_claims=["email"])
    in_token, info = fetch_claims(browser, wide, {"id_token": wish})
    assert set(in_token) == IDENTITY | {"email", "email_verified"}
    assert set(info) == {"sub", "email", "email_verified"}


@pytest.mark.row("U-04")
def test_a_claim_is_released_only_with_the_requested_value(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 5.5.1.
    right = {
        "given_name": {"value": "Noémie"},
        "locale": {"values": ["en-GB", "fr-FR"]},
        "email_verified": {"value": True},
        "children": None,
    }
    wrong = {
        "given_name": {"value": "Nathalie"},
        "locale": {"values": ["en-GB"]},
        "email": {"essential": True, "value": 7},
        "family_name": {"value": "LEROY-VANDEPUTTE", "values": ["MARTIN"]},
        "name": {"values": []},
    }
    in_token, info = fetch_claims(browser, ent, {"userinfo": right, "id_token": wrong})
    assert set(info) == {"sub", *right}
    assert set(in_token) == IDENTITY
    in_token, info = fetch_claims(browser, ent, {"userinfo": wrong, "id_token": right})
    assert set(info) == {"sub"}
    assert set(in_token) == IDENTITY | right.keys()


@pytest.mark.row("A-26")
def test_unknown_members_of_a_claims_request_are_ignored(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 5.5 and 5.5.1.
    claims_request = {
        "userinfo": {"name#fr": None, "http://example.info/claims/groups": None, "name": {"purpose": "x", "max": [1]}},
        "id_token": {"is_admin": {"essential": True}, "": None, "é": None},
        "verified": {"a": 1},
        "é": [],
    }
    in_token, info = fetch_claims(browser, ent, claims_request)
    assert set(info) == {"sub", "name"}
    assert set(in_token) == IDENTITY


@pytest.mark.row("A-26")
@each_row(
    "broken",
    [
        *("{", "", "null", "[]", "[1]", '"x"', "7", "true", "NaN", '{"id_token":NaN}', "{'id_token':{}}", "\ufeff{}"),
        *('{"id_token":7}', '{"userinfo":[]}', '{"userinfo":"name"}', '{"id_token":{"name":true}}'),
        *('{"id_token":{"name":[]}}', '{"id_token":{"name":"x"}}', '{"id_token":{"name":{"essential":"true"}}}'),
        *('{"id_token":{"name":{"essential":null}}}', '{"id_token":{"name":{"values":"x"}}}'),
        *(f'{{"id_token":{{"name":{{"value":{"[" * depth}{"]" * depth}}}}}}}' for depth in (10, 400, 968, 969, 990)),
        *("[" * 2500, '{"a":' * 500, "1" * 2900, '{"id_token":{"sub":{"value":{"a":1}}}}'),
    ],
)
def test_a_request_that_is_not_as_it_must_be_is_refused(
    browser: FlaskClient, ent: RelyingParty, session: Account, broken: str
) -> None:
    # OpenID Connect Core 1.0, 5.5; RFC 6749, 4.1.2.1.
    answer = ent.answer(browser.get(ent.url(Attempt(), claims=broken)))
    assert answer.get("error") == ("invalid_request" if broken else None), broken[:40]


@pytest.mark.row("U-04")
def test_a_refresh_releases_the_requested_claims(browser: FlaskClient, build: Build, session: Account) -> None:
    # OpenID Connect Core 1.0, 12.2. Requested claims are returned for as long as the grant lives.
    ent = build.ent(scopes=OFFLINE)
    claims_request = json.dumps({"userinfo": {"name": None}, "id_token": {"email": None}})
    first = tokens_for(browser, ent, scope="openid offline_access", claims=claims_request)
    second = ent.refresh(browser, first["refresh_token"]).get_json()
    assert set(ent.userinfo(browser, second["access_token"]).get_json()) == {"sub", "name"}
    assert set(ent.read(browser, second["id_token"])) == IDENTITY - {"nonce"} | {"email"}


@pytest.mark.row("U-04")
def test_a_claim_of_the_person_in_the_id_token_costs_one_more_statement(
    app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 5.5. The hot path of ordinary requests keeps its statements; claims of the person in the
    # ID token cost one.
    with listening(app) as seen:
        tokens_for(browser, ent)
        counts = {}
        for name, claims_request in {
            "nothing": None,
            "userinfo": '{"userinfo":{"name":null}}',
            "identity": '{"id_token":{"auth_time":{"essential":true},"sub":null,"iss":null}}',
            "person": '{"id_token":{"name":null}}',
        }.items():
            attempt = Attempt()
            code = code_for(browser, ent, attempt, claims=claims_request)
            seen.clear()
            ent.exchange(browser, code, attempt)
            counts[name] = len(seen.work())
    assert counts["userinfo"] == counts["identity"] == counts["nothing"]
    assert counts["person"] == counts["nothing"] + 1


@pytest.mark.row("A-26")
def test_claims_that_cannot_be_released_are_not_stored(browser: FlaskClient, build: Build, session: Account) -> None:
    # OpenID Connect Core 1.0, 5.5.1. Data minimisation: names and values that can come to nothing are not stored.
    ent = build.ent(scopes="openid profile")
    claims_request = {
        "userinfo": {"email": {"value": "secret@exemple.fr"}, "x": None},
        "id_token": {"nonce": {"value": "n"}},
    }
    tokens_for(browser, ent, scope="openid", claims=json.dumps(claims_request))
    for table in (AuthorizationCode, Token):
        assert db.session.scalars(select(table.claims)).all() == [None]


@pytest.mark.row("A-26")
def test_the_request_survives_the_sign_in(
    browser: FlaskClient, ent: RelyingParty, parent: Account, attempt: Attempt
) -> None:
    # OpenID Connect Core 1.0, 5.5.
    claims_request = json.dumps(
        {"userinfo": {"name": {"value": "Noémie LEROY-VANDEPUTTE"}}, "id_token": {"email": None}}
    )
    page = sign_in(browser, ent.url(attempt, scope="openid", claims=claims_request), parent.username, PASSWORD)
    tokens = ent.tokens(browser, ent.answer(page)["code"], attempt)
    assert tokens["claims"]["email"] == parent.email
    assert ent.userinfo(browser, tokens["access_token"]).get_json()["name"] == "Noémie LEROY-VANDEPUTTE"


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
WISH = st.one_of(
    st.none(),
    ANY_JSON,
    st.fixed_dictionaries({}, optional={"essential": st.booleans(), "value": ANY_JSON, "values": st.lists(ANY_JSON)}),
)
NAMES = st.sampled_from([*PERSON, "sub", "acr", "iss", "auth_time", "x"])
REQUESTS = st.dictionaries(
    st.sampled_from(["userinfo", "id_token", "x"]), st.dictionaries(NAMES, WISH, max_size=4) | ANY_JSON, max_size=3
)


@pytest.mark.row("A-26")
@settings(max_examples=300, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(REQUESTS, st.text(max_size=20))
def test_any_request_is_read_or_refused_and_read_again_as_it_was(claims_request: dict[str, Any], acr: str) -> None:
    # OpenID Connect Core 1.0, 5.5. A stored request reads back as it was.
    known = frozenset(PERSON)
    try:
        read = parameter.read(json.dumps(claims_request), acr, releasable=known, classes=release.ACR_VALUES)
    except (parameter.ClaimsRequestError, parameter.UnknownAcrError):
        return
    again = parameter.deserialize(read.serialize())
    assert (again.userinfo, again.id_token, again.acr) == (read.userinfo, read.id_token, read.acr)
    assert known.issuperset(read.userinfo)
    assert known.issuperset(read.id_token)
    assert set(read.acr) <= set(release.ACR_VALUES)
