"""Metadata of clients that register themselves: refused, ignored, stored or shown (RFC 7591 2)."""

import json
from html import unescape
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings as limits, strategies as st

from idp.accounts.models import Account
from idp.clients import registry
from idp.config import Settings
from idp.db import db
from idp.oidc.claims.release import PASSWORD_CLASS
from idp.registration import invitations
from tests.builders import PASSWORD
from tests.dpop_party import Key
from tests.pages import follow, heading, submit
from tests.protocol.flow import refused
from tests.protocol.registering import MINIMAL, bearer, invited, party, register, registered, replaced
from tests.relying_party import Attempt


def used(token: str) -> bool:
    db.session.rollback()
    return invitations.find(token) is None


NOT_SERVED = (
    *("id_token_encrypted_response_alg", "id_token_encrypted_response_enc"),
    *("userinfo_encrypted_response_alg", "userinfo_encrypted_response_enc"),
    *("request_object_signing_alg", "request_object_encryption_alg", "request_object_encryption_enc"),
    *("introspection_signed_response_alg", "introspection_encrypted_response_alg"),
    *("introspection_encrypted_response_enc", "authorization_signed_response_alg"),
    *("authorization_encrypted_response_alg", "authorization_encrypted_response_enc"),
)
WRONG: list[dict[str, Any]] = [
    {"initiate_login_uri": "http://nouveau.test/login"},
    {"jwks": {"keys": [Key.new().jwk]}, "jwks_uri": "https://nouveau.test/keys"},
    {"jwks": {"keys": []}},
    {"jwks": {"keys": [Key.new().secret_jwk]}},
    {"jwks": {"keys": [Key.new().jwk, Key.new().secret_jwk]}},
    {"jwks": {"keys": [Key.new().jwk, {"kty": "oct", "k": "c2VjcmV0"}]}},
    {"jwks": {"keys": [Key.new().jwk] * 21}},
    {"jwks": {"keys": [{**Key.new().jwk, "kid": ["k"]}]}},
    {"jwks": {"keys": [{**Key.new().jwk, "kid": "k" * 1501}]}},
    {"jwks": {"keys": [{**Key.new().jwk, "key_ops": {"verify": 1}}]}},
    {"jwks": {"keys": [Key.new().jwk, 5]}},
    {
        "jwks": {"keys": [Key.new("ES256").jwk]},
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "PS256",
    },
    {"token_endpoint_auth_method": "private_key_jwt"},
    {"token_endpoint_auth_method": "client_secret_jwt"},
    {"token_endpoint_auth_method": ["none"]},
    {"id_token_signed_response_alg": "none"},
    {"id_token_signed_response_alg": "ES256"},  # the key does not exist
    {"userinfo_signed_response_alg": "HS256"},
    {"subject_type": "aaf"},
    {"subject_type": []},
    {"grant_types": ["password"]},
    {"response_types": ["id_token"]},
    {"application_type": "native"},
    {"application_type": ""},
    {"client_uri#fr": "https://["},
    {"post_logout_redirect_uris": ["javascript:alert(1)"]},
    {"policy_uri": "javascript:alert(1)"},
    {"tos_uri": "http://nouveau.test/tos"},
    {"policy_uri#fr": "javascript:alert(1)"},
    {"logo_uri": "javascript:alert(1)"},
    {"logo_uri": "http://nouveau.test/logo.png"},
    {"logo_uri": 5},
    {"logo_uri#fr": "http://nouveau.test/logo.png"},
    {"logo_uri#fr": 5},
    {"client_uri#fr": 5},
    {"client_name#fr": 5},
    {"frontchannel_logout_uri": "https://elsewhere.test/out"},
    {"backchannel_logout_uri": "http://nouveau.test/out"},
    {"default_max_age": -1},
    {"default_max_age": 1.5},
    {"default_max_age": True},
    {"require_auth_time": "yes"},
    {"contacts": "a@b.test"},
    {"default_acr_values": "urn:x"},
    {"client_name": "x" * 81},
    {"client_name": "a\x00b"},
    *({name: "RSA-OAEP"} for name in NOT_SERVED),
    {"require_signed_request_object": True},
    {"tls_client_certificate_bound_access_tokens": True},
    {"redirect_uris": ["https://un.test/cb", "https://deux.test/cb"], "subject_type": "pairwise"},
    {"redirect_uris": ["https://un.test/cb", "https://deux.test/cb"], "sector_identifier_uri": "x"},
]


def test_a_faulty_request_does_not_use_the_invitation_up(browser: FlaskClient, invitation: str) -> None:
    # RFC 7591, 3.2.2.
    redirects: list[Any] = [
        [],
        ["http://nouveau.test/cb"],
        ["https://nouveau.test/cb#f"],
        "x",
        [5],
        None,
        ["x"] * 30,
        ["https://["],
    ]
    for uris in redirects:
        refused(register(browser, invitation, redirect_uris=uris), "invalid_redirect_uri")
    for metadata in WRONG:
        answer = register(browser, invitation, **metadata)
        refused(answer, "invalid_client_metadata")
        assert "--" not in answer.get_json()["error_description"], "the client's own names, not a command's"
    refused(register(browser, invitation, software_statement="a.b.c"), "unapproved_software_statement")
    for body in (
        b"",
        b"[",
        b"[]",
        b"5",
        b'{"a":1,"a":2}',
        b"[" * 60_000,
        b'{"a":NaN}',
        b"\xff",
        b'{"a":' + b"1" * 5000,
    ):
        answer = browser.post("/register", data=body, content_type="application/json", headers=bearer(invitation))
        refused(answer, "invalid_client_metadata")
    for kind in ("application/x-www-form-urlencoded", "text/plain", ""):
        body = json.dumps(MINIMAL).encode()
        answer = browser.post("/register", data=body, content_type=kind, headers=bearer(invitation))
        refused(answer, "invalid_client_metadata", 415)
    assert not used(invitation)
    registered(browser, invitation)


def test_false_and_null_members_are_treated_as_omitted(browser: FlaskClient, invitation: str) -> None:
    # RFC 7592, 2.2.
    registration = registered(
        browser,
        invitation,
        require_signed_request_object=False,
        tls_client_certificate_bound_access_tokens=False,
        request_uris=[],
        request_object_encryption_enc=None,
        software_statement=None,
        jwks=None,
        policy_uri=None,
        default_max_age=None,
    )
    left_out = {"jwks", "policy_uri", "default_max_age", "require_signed_request_object", "request_uris"}
    assert not left_out & registration.keys()
    assert replaced(browser, registration, request_uris=None).status_code == 200


def test_a_registration_returns_all_registered_metadata(browser: FlaskClient, invitation: str) -> None:
    # OpenID Connect Registration 1.0, 2; RFC 7591, 2.
    key = Key.new()
    metadata = {
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256",
        "jwks": {"keys": [{**key.jwk, "kid": "k", "use": "sig", "alg": "ES256", "key_ops": ["verify"]}]},
        "subject_type": "public",
        "default_max_age": 600,
        "require_auth_time": True,
        "default_acr_values": [PASSWORD_CLASS],
        "initiate_login_uri": "https://nouveau.test/login",
        "post_logout_redirect_uris": ["https://nouveau.test/"],
        "backchannel_logout_uri": "https://nouveau.test/back",
        "backchannel_logout_session_required": True,
        "frontchannel_logout_uri": "https://nouveau.test/front",
        "frontchannel_logout_session_required": True,
        "require_pushed_authorization_requests": True,
        "dpop_bound_access_tokens": True,
        "client_uri": "https://nouveau.test/",
        "policy_uri": "https://nouveau.test/policy",
        "policy_uri#en": "https://nouveau.test/en/policy",
        "tos_uri": "https://nouveau.test/tos",
        "logo_uri": "https://nouveau.test/logo.png",
        "logo_uri#en": "https://nouveau.test/en/logo.png",
        "client_name#en": "New",
        "contacts": ["a@b.test"],
        "application_type": "web",
        "userinfo_signed_response_alg": "RS256",
        "id_token_signed_response_alg": "RS256",
    }
    tag = "client_name#" + "x" * 300
    unknown = {
        "unheard_of": {"a": 1},
        tag: "x",
        "client_name#\x00": "x",
        "contacts#fr": 5,
        "request_uris": ["https://nouveau.test/request.jwt#x"],
    }
    registration = registered(browser, invitation, **metadata, **unknown)
    assert "client_secret" not in registration
    assert {name: registration.get(name) for name in metadata} == metadata
    assert not unknown.keys() & registration.keys()


def test_unknown_members_of_a_key_are_not_stored(browser: FlaskClient, invitation: str) -> None:
    # RFC 7517, 4.
    key = Key.new().jwk
    deep: Any = "x"
    for _ in range(300):
        deep = [deep]
    jwks = {"keys": [{**key, "x5c": ["x"], "note": deep}], "more": deep}
    registration = registered(browser, invitation, token_endpoint_auth_method="private_key_jwt", jwks=jwks)
    assert registration["jwks"] == {"keys": [key]}


def test_a_client_that_does_not_sign_may_register_encryption_keys_only(browser: FlaskClient, invitation: str) -> None:
    # RFC 7591, 2.
    jwks = {"keys": [{**Key.new().jwk, "use": "enc"}]}
    refused(
        register(browser, invitation, token_endpoint_auth_method="private_key_jwt", jwks=jwks),
        "invalid_client_metadata",
    )
    assert registered(browser, invitation, jwks=jwks)["jwks"] == jwks


def test_the_sign_in_page_leads_to_what_the_ent_says_of_itself(
    browser: FlaskClient, invitation: str, settings: Settings
) -> None:
    # OpenID Connect Registration 1.0, 2.
    registration = registered(
        browser, invitation, policy_uri="https://nouveau.test/p?a=1&b=2", tos_uri="https://nouveau.test/t"
    )
    page = follow(browser, browser.get(party(settings, registration).url(Attempt(), scope="openid")))
    assert heading(page) == "Connexion"
    text = unescape(page.get_data(as_text=True))
    assert '<a href="https://nouveau.test/p?a=1&b=2">Ce qu’il fait de vos données</a>' in text
    assert '<a href="https://nouveau.test/t">Conditions d’utilisation</a>' in text
    assert "Pages de l’ENT Nouveau" in text
    replaced(browser, registration)
    registry.forget()  # the page may show the former registration for a minute
    page = follow(browser, browser.get(party(settings, registration).url(Attempt(), scope="openid")))
    assert "Pages de l’ENT" not in page.get_data(as_text=True)


def test_the_picture_of_an_ent_is_shown_nowhere(
    browser: FlaskClient, invitation: str, parent: Account, settings: Settings
) -> None:
    # OpenID Connect Registration 1.0, 2. The host of the image would get each parent's IP from a page with a password
    # field, and could change the image.
    logos = {"logo_uri": "https://images.test/logo.png", "logo_uri#fr": "https://images.test/fr/logo.png"}
    ent = party(settings, registered(browser, invitation, **logos))
    page = follow(browser, browser.get(ent.url(Attempt(), scope="openid", prompt="consent")))
    for title in ("Connexion", "Ce que l’ENT va recevoir"):
        assert heading(page) == title
        assert "images.test" not in page.get_data(as_text=True)
        assert "images.test" not in page.headers["Content-Security-Policy"]
        page = submit(browser, page, identifiant=parent.username, mot_de_passe=PASSWORD)


NAMES = (
    *("redirect_uris", "client_name", "client_name#fr", "policy_uri", "policy_uri#en", "scope", "grant_types"),
    *("response_types", "contacts", "default_max_age", "subject_type", "jwks", "jwks_uri", "sector_identifier_uri"),
    *("token_endpoint_auth_method", "token_endpoint_auth_signing_alg", "frontchannel_logout_uri", "application_type"),
    *("post_logout_redirect_uris", "initiate_login_uri", "logo_uri", "id_token_signed_response_alg"),
    *("dpop_bound_access_tokens", "default_acr_values", "software_statement", "client_uri", "tos_uri"),
)


def test_anything_as_metadata_is_answered(browser: FlaskClient, app: Flask, unhurried: None) -> None:
    # RFC 7591, 3.2.2.
    tokens = [invited()]
    texts = st.one_of(
        st.text(max_size=30),
        st.sampled_from(["https://nouveau.test/cb", "https://[", "https://nouveau.test:99999/", "none", "RS256"]),
        st.sampled_from(["private_key_jwt", "pairwise", "public", "openid email", "\ud800", "\x00", "x" * 600]),
    )
    keys = st.fixed_dictionaries(
        {"kty": st.sampled_from(["EC", "RSA", "OKP", "oct", 5])},
        optional=dict.fromkeys(("crv", "x", "y", "n", "e", "kid", "use", "alg", "d"), texts),
    )
    leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), texts, keys)
    values = st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
        | st.fixed_dictionaries({"keys": st.lists(inner, max_size=3)}),
    )  # fmt: skip
    seen = set()

    @limits(max_examples=200, database=None, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(st.sampled_from(NAMES) | texts, values, min_size=1, max_size=4))
    def send(metadata: dict[str, Any]) -> None:
        answer = register(browser, tokens[-1], **metadata)
        seen.add(answer.status_code)
        assert answer.status_code in {201, 400}, answer.get_data(as_text=True)
        assert answer.mimetype == "application/json"
        if answer.status_code == 201:
            registration = answer.get_json()
            assert replaced(browser, registration, **metadata, client_id=registration["client_id"]).status_code in {
                200,
                400,
            }
            tokens.append(invited())

    send()
    assert seen == {201, 400}
