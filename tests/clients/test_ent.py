"""Sign-ins at the sample ENT: valid ID tokens are accepted, others refused."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from flask import Flask
from joserfc.jwk import RSAKey

from clients.ent.app import create_app
from clients.ent.settings import read_settings
from tests.clients.conftest import PUBLIC_URL, Browser, change, environment, query, visited_ent
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


def test_the_request_carries_all_that_the_answer_will_have_to_prove(browser: Browser) -> None:
    departure = browser.get("/login")
    parameters = query(departure.location)
    assert {
        name: parameters[name] for name in ("response_type", "client_id", "redirect_uri", "code_challenge_method")
    } == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": f"{PUBLIC_URL}/callback",
        "code_challenge_method": "S256",
    }
    assert parameters["scope"] == "openid profile email ent charter"
    assert len(parameters["state"]) >= 22
    assert len(parameters["nonce"]) >= 20
    assert len(parameters["code_challenge"]) == 43
    again = query(browser.get("/login").location)
    assert {parameters[n] for n in ("state", "nonce", "code_challenge")}.isdisjoint(again.values())


def test_parent_signs_in_and_signs_out(browser: Browser, provider: FakeProvider) -> None:
    home = browser.get("/")
    assert "<h1>Passerelle</h1>" in home.text
    assert "Set-Cookie" not in home.headers
    assert browser.sign_in().location == "/charte"
    charter = browser.get("/charte").text
    assert "version 2 du 1er septembre 2026" in charter
    assert browser.submit("/charte", accord="oui").location == "/notifications"
    assert provider.accepted == ["2"]
    assert 'value="noemie.leroy@exemple.fr"' in browser.get("/notifications").text
    assert browser.submit("/notifications", mail="autre@exemple.fr").location == "/bienvenue"
    inside = browser.get("/bienvenue").text
    assert "<h1>Bienvenue Noémie LEROY-VANDEPUTTE</h1>" in inside
    for expected in (
        "Malo LEROY</b>, 6e 1, Collège des Tilleuls",
        "autre@exemple.fr",
        "2|LEROY-VANDEPUTTE|Noémie|701001|0599001N",
    ):
        assert expected in inside
    assert f'href="{provider.issuer}/mon-compte"' in inside
    accepted = inside[inside.index("charter_accepted</th>") :][:120]
    assert "true" in accepted
    out = browser.submit("/bienvenue", "/logout")
    parameters = query(out.location)
    assert out.location.startswith(f"{provider.issuer}/logout?")
    assert parameters["client_id"] == CLIENT_ID
    assert parameters["post_logout_redirect_uri"] == f"{PUBLIC_URL}/"
    assert parameters["id_token_hint"].count(".") == 2
    back = requests.get(out.location, allow_redirects=False, timeout=60).headers["Location"]
    assert "Vous êtes déconnecté" in browser.get(back).text
    assert "Vous êtes déconnecté" not in browser.get(back).text, "a state counts once"
    assert browser.get("/bienvenue").location.startswith("/login?")


LIES: dict[str, tuple[Callable[[Claims], Claims], str]] = {
    "another issuer": (change(iss="https://ailleurs.example"), "iss"),
    "the issuer with a slash": (lambda c: c | {"iss": c["iss"] + "/"}, "iss"),
    "no issuer": (change(iss=None), "iss"),
    "another audience": (change(aud="autre-ent"), "aud"),
    "our audience among others": (change(aud=[CLIENT_ID, "autre-ent"]), "aud"),
    "no audience": (change(aud=None), "aud"),
    "an empty audience": (change(aud=[]), "aud"),
    "another authorized party": (change(azp="autre-ent"), "azp"),
    "expired": (change(exp=int(time.time()) - 3600), "exp"),
    "no expiry": (change(exp=None), "exp"),
    "an expiry in words": (change(exp="demain"), "exp"),
    "an expiry that is a boolean": (change(exp=True), "exp"),
    "issued an hour ago": (change(iat=int(time.time()) - 3600), "iat"),
    "issued tomorrow": (change(iat=int(time.time()) + 86400), "iat"),
    "not a number": (change(iat=float("nan")), "iat"),
    "no issue date": (change(iat=None), "iat"),
    "not valid yet": (change(nbf=int(time.time()) + 3600), "nbf"),
    "another nonce": (change(nonce="autre"), "nonce"),
    "no nonce": (change(nonce=None), "nonce"),
    "a nonce that is a list": (change(nonce=["x"]), "nonce"),
    "nobody": (change(sub=None), "sub"),
    "an empty person": (change(sub=""), "sub"),
    "a person too long": (change(sub="x" * 256), "sub"),
    "another access token": (change(at_hash="AAAAAAAAAAAAAAAAAAAAAA"), "at_hash"),
}


def _assert_refused(browser: Browser, check: str) -> None:
    answer = browser.sign_in()
    assert answer.status_code == 400
    assert f"<b>{check}</b>" in answer.text
    assert "Set-Cookie" not in answer.headers
    assert browser.get("/bienvenue").location.startswith("/login?"), "nothing was opened"


@each_row("lie", LIES)
def test_an_id_token_with_a_wrong_claim_is_refused(tmp_path_factory: pytest.TempPathFactory, lie: str) -> None:
    with visited_ent(tmp_path_factory.mktemp("ent")) as (_, browser, provider):
        provider.claims_lie, check = LIES[lie]
        _assert_refused(browser, check)
        assert "/userinfo" not in provider.calls, "no access token is used before the ID token is believed"


SIGNATURES: dict[str, tuple[dict[str, object], str]] = {
    "a key of the same name that is not published": ({"signing_key": OTHER_RSA}, "signature"),
    "no signature": ({"sign": unsigned}, "alg"),
    "our public key as a shared secret": ({"sign": signed_with_public_key}, "alg"),
    "a signature cut off": ({"sign": lambda _claims: "a.b"}, "id_token"),
    "five parts": ({"sign": lambda _claims: "a.b.c.d.e"}, "id_token"),
    "a key that is published nowhere": ({"header": {"kid": "inconnue"}}, "kid"),
    "a key of another kind": ({"header": {"kid": "ec-1"}}, "key"),
    "another signature than the one registered": ({"signing_key": EC, "algorithm": "ES256"}, "alg"),
    "no key's name": ({"header": {"kid": ""}}, "kid"),
}


@pytest.mark.parametrize("forgery", SIGNATURES)
def test_an_invalid_signature_is_refused(browser: Browser, provider: FakeProvider, forgery: str) -> None:
    changes, check = SIGNATURES[forgery]
    for name, value in changes.items():
        setattr(provider, name, value)
    _assert_refused(browser, check)


def test_a_changed_payload_is_refused(browser: Browser, provider: FakeProvider) -> None:
    good = provider.id_token

    def altered(parameters: dict[str, str], access_token: str) -> str:
        header, _, signature = good(parameters, access_token).split(".")
        provider.sub = "quelqu-un-d-autre"
        return f"{header}.{good(parameters, access_token).split('.')[1]}.{signature}"

    provider.id_token = altered  # type: ignore[method-assign]
    _assert_refused(browser, "signature")


def test_an_ent_that_registered_es256_accepts_es256(provider: FakeProvider, tmp_path: Path) -> None:
    provider.signing_key, provider.algorithm = EC, "ES256"
    app = create_app(read_settings(environment(provider.issuer, tmp_path) | {"ENT_ID_TOKEN_ALG": "ES256"}))
    assert Browser(app.test_client()).sign_in().location == "/charte"


def test_a_new_key_is_fetched_when_it_is_met(browser: Browser, provider: FakeProvider) -> None:
    provider.keys = [RSA]
    assert browser.sign_in().status_code == 303
    fetched = provider.calls.count("/jwks.json")
    new = RSAKey.generate_key(2048, {"kid": "rsa-2", "use": "sig", "alg": "RS256"}, private=True)
    provider.keys, provider.signing_key = [RSA, new], new
    assert browser.sign_in().status_code == 303
    assert provider.calls.count("/jwks.json") == fetched + 1
    assert browser.sign_in().status_code == 303
    assert provider.calls.count("/jwks.json") == fetched + 1, "a known key is not asked for again"


@pytest.mark.parametrize("sub", ["quelqu-un-d-autre", None])
def test_userinfo_about_somebody_else_is_refused(browser: Browser, provider: FakeProvider, sub: str | None) -> None:
    provider.userinfo_lie = change(sub=sub)
    _assert_refused(browser, "userinfo_sub")


@pytest.mark.parametrize("iss", ["https://ailleurs.example", None])
def test_an_answer_of_another_provider_is_refused_and_uses_up_nothing(
    browser: Browser, provider: FakeProvider, iss: str | None
) -> None:
    provider.answer_lie = {"iss": iss}
    forged = browser.leave()
    answer = browser.get(forged)
    assert answer.status_code == 400
    assert "<b>response_iss</b>" in answer.text
    assert "/token" not in provider.calls
    provider.answer_lie = {}
    code = query(forged)["code"]
    true_answer = provider.answer(code)
    assert browser.client.get("/callback", query_string=true_answer).status_code == 303


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [
        ("access_denied", 403, "Vous n’êtes pas entré"),
        ("login_required", 400, "Connectez-vous pour continuer"),
        ("temporarily_unavailable", 400, "Beaucoup de familles se connectent"),
        ("invalid_scope", 400, "La connexion n’a pas abouti"),
        ("<b>x</b>", 400, "La connexion n’a pas abouti"),
    ],
)
def test_a_refusal_of_the_provider_is_a_page_with_a_way_on(
    browser: Browser, provider: FakeProvider, error: str, status: int, title: str
) -> None:
    provider.answer_lie = {"code": None, "error": error}
    answer = browser.sign_in()
    assert answer.status_code == status
    assert f"<h1>{title}</h1>" in answer.text
    assert 'href="/login"' in answer.text
    assert "<b>x</b>" not in answer.text


def test_cancelled_sign_in_page_mentions_no_refused_charter(browser: Browser, provider: FakeProvider) -> None:
    provider.answer_lie = {"code": None, "error": "access_denied"}
    [text] = re.findall(r"</h1>\s*<p>(.*?)</p>", browser.sign_in().text)
    assert text.startswith("La connexion a été arrêtée avant la fin. Pour entrer, touchez")
    assert [part for part in text.split(". ") if "charte" in part and not part.startswith("Si vous avez")] == []


def test_discovery_that_describes_another_provider_is_refused(browser: Browser, provider: FakeProvider) -> None:
    provider.metadata_lie = {"issuer": "https://ailleurs.example"}
    assert "<b>metadata_issuer</b>" in browser.get("/login").text
    provider.metadata_lie = {"token_endpoint": "http://ailleurs.example/token"}
    assert "<b>metadata</b>" in browser.get("/login").text
    provider.metadata_lie = {"end_session_endpoint": "javascript:alert(1)"}
    assert "<b>metadata</b>" in browser.get("/login").text
    provider.metadata_lie = {}
    assert browser.get("/login").status_code == 303, "a wrong description is not remembered"


def test_a_token_endpoint_that_redirects_is_not_followed(browser: Browser, provider: FakeProvider) -> None:
    provider.metadata_lie = {"token_endpoint": f"{provider.issuer}/logout-that-redirects"}
    answer = browser.sign_in()
    assert answer.status_code == 503
    assert "Scolarité Services ne répond pas" in answer.text


@pytest.mark.parametrize("lie", [{"id_token": None}, {"id_token": 5}])
def test_a_token_response_without_id_token_is_refused(browser: Browser, provider: FakeProvider, lie: Claims) -> None:
    provider.token_lie = lie
    _assert_refused(browser, "id_token")


@pytest.mark.parametrize("lie", [{"access_token": None}, {"token_type": "DPoP"}, {"access_token": "é"}])
def test_an_invalid_token_response_opens_no_session(browser: Browser, provider: FakeProvider, lie: Claims) -> None:
    provider.token_lie = lie
    assert browser.sign_in().status_code == 503
    assert browser.get("/bienvenue").location.startswith("/login?")


def test_a_provider_that_does_not_answer_gives_an_error_page(tmp_path: Path) -> None:
    app = create_app(read_settings(environment("http://127.0.0.1:9", tmp_path)))
    answer = app.test_client().get("/login")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "30"
    assert "Scolarité Services ne répond pas" in answer.text


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("/login?profil=parent", "profil:parent"),
        ("/login?profil=PARENT", "profil:parent"),
        ("/login?profil=chat", None),
        ("/login?login_hint=n.leroy", "n.leroy"),
        ("/login", None),
    ],
)
def test_the_profile_is_passed_on(browser: Browser, url: str, hint: str | None) -> None:
    assert query(browser.get(url).location).get("login_hint") == hint


@pytest.mark.parametrize(
    ("accepted", "languages"),
    [
        ("ar-MA,ar;q=0.9,fr;q=0.5", "ar-MA ar fr"),
        ("fr-FR,fr;q=0.9,en;q=0.8", None),
        ("", None),
        ("*, x;q=0.9, <b>;q=0.8, zh-Hans;q=0.7", "zh-Hans"),
    ],
)
def test_the_provider_is_asked_for_pages_in_the_language_of_the_browser(
    browser: Browser, accepted: str, languages: str | None
) -> None:
    """OpenID Connect Core 1.0, 3.1.2.1. The pages of the ENT itself are French, and say so to screen readers."""
    headers = {"Accept-Language": accepted}
    departure = browser.client.get("/login?login_hint=profil:parent", headers=headers)
    assert query(departure.location).get("ui_locales") == languages
    assert query(departure.location)["login_hint"] == "profil:parent"
    assert '<html lang="fr"' in browser.client.get("/", headers=headers).text


def test_sign_in_started_by_a_third_party_leads_to_pages_of_the_ent_alone(
    browser: Browser, app: Flask, provider: FakeProvider
) -> None:
    assert browser.client.get("/login", query_string={"iss": "https://ailleurs.example"}).status_code == 400
    posted = browser.client.post("/login", data={"iss": provider.issuer, "login_hint": "profil:parent"})
    assert posted.status_code == 303
    assert query(browser.get(posted.location).location)["login_hint"] == "profil:parent"
    browser.enter()
    expected_url = f"/login?iss={provider.issuer}&target_link_uri={PUBLIC_URL}/notifications"
    assert browser.sign_in(expected_url).location == "/notifications"
    assert browser.submit("/notifications", mail="a@exemple.fr").location == "/bienvenue"
