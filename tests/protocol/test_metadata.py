"""The discovery documents and the published keys: listed features work, others do not (security rows D-01 to D-06)."""

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.config import ConfigurationError, load
from idp.db import db
from idp.languages import OFFERED
from idp.oidc.claims.standard import with_changes
from idp.oidc.keys import rotation
from idp.oidc.keys.material import ALGORITHMS
from idp.services import services_of
from tests.builders import PASSWORD, Build
from tests.databases import ISSUER, SECRET
from tests.dpop_party import Key, KeyedParty
from tests.pages import follow, heading, sign_in
from tests.protocol.flow import code_for, tokens_for
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row

DOCUMENTS = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")
EVERY = "openid profile email address phone ent charter offline_access"
EVERY_WAY = {
    "response_types_supported": {"code"},
    "response_modes_supported": {"query", "form_post"},
    "grant_types_supported": {"authorization_code", "refresh_token"},
    "subject_types_supported": {"pairwise", "public"},
    "token_endpoint_auth_methods_supported": {"client_secret_basic", "client_secret_post", "private_key_jwt", "none"},
    "revocation_endpoint_auth_methods_supported": {
        *("client_secret_basic", "client_secret_post", "private_key_jwt", "none"),
    },
    "introspection_endpoint_auth_methods_supported": {"client_secret_basic", "client_secret_post", "private_key_jwt"},
    "token_endpoint_auth_signing_alg_values_supported": {*ALGORITHMS, "Ed25519"},
    "revocation_endpoint_auth_signing_alg_values_supported": {*ALGORITHMS, "Ed25519"},
    "introspection_endpoint_auth_signing_alg_values_supported": {*ALGORITHMS, "Ed25519"},
    "dpop_signing_alg_values_supported": {*ALGORITHMS, "Ed25519"},
    "id_token_signing_alg_values_supported": {"RS256"},
    "userinfo_signing_alg_values_supported": {"RS256"},
    "code_challenge_methods_supported": {"S256"},
    "scopes_supported": set(EVERY.split()),
    "prompt_values_supported": {"none", "login", "consent", "select_account"},
    "display_values_supported": {"page"},
    "claim_types_supported": {"normal"},
    "ui_locales_supported": set(OFFERED),
    "acr_values_supported": {
        "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
        "urn:scolarite-services:acr:password-known-device",
        "urn:scolarite-services:acr:passkey",
        "phr",
    },
}
"""The expected lists of a service with one signing key."""
YES_OR_NO = {
    "authorization_response_iss_parameter_supported": True,
    "backchannel_logout_session_supported": True,
    "backchannel_logout_supported": True,
    "claims_parameter_supported": True,
    "frontchannel_logout_session_supported": True,
    "frontchannel_logout_supported": True,
    "request_parameter_supported": False,
    "request_uri_parameter_supported": False,
    "require_pushed_authorization_requests": False,
}
URLS = {
    *("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "end_session_endpoint"),
    *("registration_endpoint", "revocation_endpoint", "introspection_endpoint", "check_session_iframe"),
    "pushed_authorization_request_endpoint",
}


def metadata(browser: FlaskClient) -> dict[str, Any]:
    return dict(browser.get(DOCUMENTS[0]).get_json())


def path_of(document: dict[str, Any], name: str) -> str:
    return str(document[name]).removeprefix(ISSUER)


def registered(build: Build, method: str, **more: Any) -> KeyedParty:
    key = Key.new() if method == "private_key_jwt" else None
    if key:
        more["jwks"] = {"keys": [{**key.jwk, "kid": key.kid, "alg": key.alg, "use": "sig"}]}
    return KeyedParty.of(build.ent(auth_method=method, scopes=EVERY, **more), client=key)


def ask(browser: FlaskClient, ent: KeyedParty, path: str, form: dict[str, str], method: str) -> TestResponse:
    """Send a form authenticated by `method`, which may differ from the registered one."""
    headers: dict[str, str] = {}
    if method == "client_secret_basic":
        headers = ent.basic()
    elif method == "client_secret_post":
        form = {**form, "client_id": ent.client_id, "client_secret": ent.secret or "x"}
    elif method == "private_key_jwt":
        signing = ent if ent.client else KeyedParty.of(ent, client=Key.new())  # with any key
        form = {**form, **signing.assertion()}
    else:
        form = {**form, "client_id": ent.client_id}
    return browser.post(path, data=form, headers=headers)


@pytest.mark.row("D-02")
def test_the_metadata_announce_the_expected_values(browser: FlaskClient) -> None:
    # OpenID Connect Discovery 1.0, 3; RFC 8414, 3.2.
    documents = [browser.get(path) for path in DOCUMENTS]
    assert documents[0].get_json() == documents[1].get_json()
    document = documents[0].get_json()
    assert document.keys() == {"issuer", "claims_supported"} | EVERY_WAY.keys() | YES_OR_NO.keys() | URLS
    for name, values in EVERY_WAY.items():
        assert set(document[name]) == values, name
        assert len(document[name]) == len(values), name
    assert {name: document[name] for name in YES_OR_NO} == YES_OR_NO
    assert document["issuer"] == ISSUER
    assert not [name for name, value in document.items() if value in ([], "", None)]


@pytest.mark.row("D-02")
def test_every_address_is_there(browser: FlaskClient) -> None:
    # RFC 8414, 2.
    document = metadata(browser)
    for name in URLS:
        assert document[name].startswith(f"{ISSUER}/"), name
        assert browser.get(path_of(document, name)).status_code != 404, name
        assert browser.get(f"{path_of(document, name)}/").status_code == 404, name


@pytest.mark.row("D-02", "T-10", "T-16")
def test_every_authentication_and_subject_works_at_every_endpoint(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    # RFC 8414, 2.
    document = metadata(browser)
    for method in document["token_endpoint_auth_methods_supported"]:
        for kind in document["subject_types_supported"]:
            ent, attempt = registered(build, method, subject=kind), Attempt()
            form = {"code": code_for(browser, ent, attempt, scope=EVERY), "code_verifier": attempt.verifier}
            form |= {"grant_type": "authorization_code", "redirect_uri": ent.redirect_uri}
            for other in document["token_endpoint_auth_methods_supported"]:
                if other != method:
                    answer = ask(browser, ent, path_of(document, "token_endpoint"), form, other)
                    assert answer.get_json()["error"] == "invalid_client", (method, other)
            answer = ask(browser, ent, path_of(document, "token_endpoint"), form, method)
            assert answer.status_code == 200, (method, kind, answer.get_json())
            token = answer.get_json()["refresh_token"]
            refresh = {"grant_type": "refresh_token", "refresh_token": token}
            answer = ask(browser, ent, path_of(document, "token_endpoint"), refresh, method)
            assert answer.status_code == 200, method
            seen = ask(browser, ent, path_of(document, "introspection_endpoint"), {"token": token}, method)
            assert seen.status_code == (
                200 if method in document["introspection_endpoint_auth_methods_supported"] else 401
            )
            assert method in document["revocation_endpoint_auth_methods_supported"]
            gone = ask(browser, ent, path_of(document, "revocation_endpoint"), {"token": token}, method)
            assert gone.status_code == 200, method
            assert ask(browser, ent, path_of(document, "token_endpoint"), refresh, method).status_code == 400


@pytest.mark.row("D-02")
def test_every_announced_claim_is_released_and_no_other(browser: FlaskClient, build: Build, parent: Account) -> None:
    # OpenID Connect Discovery 1.0, 3.
    more = {"phone_number": "+33199001234", "address.locality": "Rivebelle", "birthdate": "1984", "gender": "female"}
    more |= {"zoneinfo": "Europe/Paris", "middle_name": "Anne", "nickname": "Nono", "website": "https://exemple.fr/"}
    more |= {"picture": "https://exemple.fr/a.jpg", "profile": "https://exemple.fr/~n"}
    parent.more_claims = with_changes({}, more, ())
    db.session.commit()
    ent, attempt = build.ent(charter="provider", scopes=EVERY, release_username=True), Attempt()
    build.publish(ent, "2026")
    page = sign_in(browser, ent.url(attempt, scope=EVERY), parent.username, PASSWORD)
    assert heading(page) == "Charte ENT"
    token = page.get_data(as_text=True).split('name="csrf_token" value="')[1].split('"')[0]
    data = {"csrf_token": token, "version": "2026", "accepte": "y"}
    page = follow(browser, browser.post(page.request.full_path, data=data))
    tokens = ent.tokens(browser, ent.answer(page)["code"], attempt)
    info = ent.userinfo(browser, tokens["access_token"]).get_json()
    supported = metadata(browser)["claims_supported"]
    assert len(supported) == len(set(supported))
    assert set(tokens["claims"]) | set(info) == set(supported)
    claims_request = json.dumps({"id_token": dict.fromkeys(supported), "userinfo": dict.fromkeys(supported)})
    everything = tokens_for(browser, ent, scope="openid", claims=claims_request)
    assert set(everything["claims"]) == set(supported)
    assert set(ent.userinfo(browser, everything["access_token"]).get_json()) == set(info)


@pytest.mark.row("D-02", "A-19")
def test_every_scope_works_alone_and_no_other_does(browser: FlaskClient, build: Build, session: Account) -> None:
    # RFC 8414, 2.
    ent = build.ent(scopes=EVERY)
    for scope in metadata(browser)["scopes_supported"]:
        assert ent.answer(browser.get(ent.url(Attempt(), scope=f"openid {scope}")))["code"], scope
    for scope in ("admin", "OpenID", "groups", "openid2", "urn:x", "*"):
        attempt = Attempt()
        tokens = ent.tokens(browser, code_for(browser, ent, attempt, scope=f"openid {scope}"), attempt)
        assert tokens["scope"] == "openid", scope


@pytest.mark.row("D-02")
@each_row("alg", [alg for alg in ALGORITHMS if alg != "RS256"])
def test_another_algorithm_is_announced_once_its_key_signs(
    app: Flask, browser: FlaskClient, build: Build, alg: str
) -> None:
    # OpenID Connect Discovery 1.0, 3.
    names = ("id_token_signing_alg_values_supported", "userinfo_signing_alg_values_supported")
    assert [alg in metadata(browser)[name] for name in names] == [False, False]
    rotation.rotate(build.settings, alg, at_once=True)
    services_of(app).server.ring.forget()
    assert [alg in metadata(browser)[name] for name in names] == [True, True]


def jwks(browser: FlaskClient) -> list[dict[str, Any]]:
    return list(browser.get("/jwks.json").get_json()["keys"])


@pytest.mark.row("D-01")
def test_no_header_changes_an_address(browser: FlaskClient) -> None:
    # OpenID Connect Discovery 1.0, 4.3.
    hostile = {
        "Host": "evil.test",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Proto": "http",
        "Forwarded": "host=evil.test;proto=http",
        "X-Original-URL": "https://evil.test/",
    }
    for path in DOCUMENTS:
        honest = browser.get(path)
        assert honest.get_json()["issuer"] == ISSUER
        for name, value in hostile.items():
            answer = browser.get(path, headers={name: value})
            assert answer.status_code in {200, 400}, name
            if answer.status_code == 200:
                assert answer.get_json() == honest.get_json()
        values = [value for value in honest.get_json().values() if isinstance(value, str)]
        assert len(values) > 5
        assert all(url == ISSUER or url.startswith(f"{ISSUER}/") for url in values)


@pytest.mark.row("D-05")
@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"issuer": None}, "IDP_ISSUER"),
        ({"issuer": "http://connexion.exemple.test"}, "must be https"),
        ({"issuer": "http://127.0.0.1:8000"}, "must be https"),
        ({"issuer": "http://exemple.test", "env": "development"}, "must be https"),
        ({"issuer": f"{ISSUER}/"}, "slash"),
        ({"issuer": f"{ISSUER}?a=b"}, "must be a URL"),
        ({"issuer": "connexion.exemple.test"}, "must be a URL"),
    ],
)
def test_without_a_sound_public_address_nothing_starts(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str | None], fault: str
) -> None:
    # OpenID Connect Discovery 1.0, 3.
    for name in ("IDP_ISSUER", "IDP_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    values = {name: value for name, value in settings.items() if value is not None}
    with pytest.raises(ConfigurationError) as refusal:
        load(secret_key=SECRET, **values)
    assert any(fault in line for line in refusal.value.faults), refusal.value.faults


@pytest.mark.row("D-06")
def test_cross_origin_requests_read_discovery_and_keys_only(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # OpenID Connect Discovery 1.0, 4; OpenID Connect Core 1.0, 5.3; OWASP ASVS 5, V 3.4.2.
    origin = {"Origin": "https://evil.test"}
    for path in (*DOCUMENTS, "/jwks.json"):
        response = browser.get(path, headers=origin)
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in response.headers
        # no cache may hide a key that signs at once
        seconds = 60 if path == "/jwks.json" else 3600
        assert response.headers["Cache-Control"] == f"public, max-age={seconds}"
        assert "Set-Cookie" not in response.headers
    closed = ("/userinfo", "/token", "/par", "/revoke", "/introspect", "/register", "/authorize", "/authorize/accord")
    for path in (*closed, "/logout", "/connexion", "/charter", "/mon-compte"):
        for method in ("GET", "OPTIONS", "POST"):
            response = browser.open(path, method=method, headers=origin)
            assert not [name for name in response.headers.keys() if name.startswith("Access-Control-")]  # noqa: SIM118
