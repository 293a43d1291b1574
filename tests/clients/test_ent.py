"""The ENT lets in whom the provider vouches for, and nobody else."""

import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import time_machine
from flask import Flask

from clients.ent.app import create_app
from clients.ent.settings import read_settings
from tests.clients.conftest import PUBLIC_URL, Browser, environment, query
from tests.clients.fake_provider import (
    CLIENT_ID,
    EC,
    OTHER_RSA,
    Claims,
    FakeProvider,
    signed_with_public_key,
    unsigned,
)


def test_the_request_carries_all_that_the_answer_will_have_to_prove(browser: Browser) -> None:
    departure = browser.get("/login")
    asked = query(departure.location)
    assert {name: asked[name] for name in ("response_type", "client_id", "redirect_uri", "code_challenge_method")} == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": f"{PUBLIC_URL}/callback",
        "code_challenge_method": "S256",
    }
    assert asked["scope"] == "openid profile email ent charter"
    assert len(asked["state"]) >= 22
    assert len(asked["nonce"]) >= 20
    assert len(asked["code_challenge"]) == 43
    again = query(browser.get("/login").location)
    assert {asked[n] for n in ("state", "nonce", "code_challenge")}.isdisjoint(again.values())


def test_from_home_to_inside_and_out(browser: Browser, provider: FakeProvider) -> None:
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
    for expected in ("Malo LEROY", "6e 1", "autre@exemple.fr", "2|LEROY-VANDEPUTTE|Noémie|701001|0599001N"):
        assert expected in inside
    assert f'href="{provider.issuer}/mon-compte"' in inside
    accepted = inside[inside.index("charter_accepted</th>") :][:120]
    assert "true" in accepted
    out = browser.submit("/bienvenue", "/logout")
    asked = query(out.location)
    assert out.location.startswith(f"{provider.issuer}/logout?")
    assert asked["client_id"] == CLIENT_ID
    assert asked["post_logout_redirect_uri"] == f"{PUBLIC_URL}/"
    assert asked["id_token_hint"].count(".") == 2
    back = requests.get(out.location, allow_redirects=False, timeout=5).headers["Location"]
    assert "Vous êtes déconnecté" in browser.get(back).text
    assert "Vous êtes déconnecté" not in browser.get(back).text, "a state counts once"
    assert browser.get("/bienvenue").location.startswith("/login?")


def _change(**changes: object) -> Callable[[Claims], Claims]:
    """Return a lie that changes claims; None takes the claim away."""
    return lambda claims: {k: v for k, v in (claims | changes).items() if v is not None}


LIES: dict[str, tuple[Callable[[Claims], Claims], str]] = {
    "another issuer": (_change(iss="https://ailleurs.example"), "iss"),
    "the issuer with a slash": (lambda c: c | {"iss": c["iss"] + "/"}, "iss"),
    "no issuer": (_change(iss=None), "iss"),
    "another audience": (_change(aud="autre-ent"), "aud"),
    "our audience among others": (_change(aud=[CLIENT_ID, "autre-ent"]), "aud"),
    "no audience": (_change(aud=None), "aud"),
    "an empty audience": (_change(aud=[]), "aud"),
    "another authorized party": (_change(azp="autre-ent"), "azp"),
    "expired": (_change(exp=int(time.time()) - 3600), "exp"),
    "no expiry": (_change(exp=None), "exp"),
    "an expiry in words": (_change(exp="demain"), "exp"),
    "an expiry that is a boolean": (_change(exp=True), "exp"),
    "issued an hour ago": (_change(iat=int(time.time()) - 3600), "iat"),
    "issued tomorrow": (_change(iat=int(time.time()) + 86400), "iat"),
    "not a number": (_change(iat=float("nan")), "iat"),
    "no issue date": (_change(iat=None), "iat"),
    "not valid yet": (_change(nbf=int(time.time()) + 3600), "nbf"),
    "another nonce": (_change(nonce="autre"), "nonce"),
    "no nonce": (_change(nonce=None), "nonce"),
    "a nonce that is a list": (_change(nonce=["x"]), "nonce"),
    "nobody": (_change(sub=None), "sub"),
    "an empty person": (_change(sub=""), "sub"),
    "a person too long": (_change(sub="x" * 256), "sub"),
    "another access token": (_change(at_hash="AAAAAAAAAAAAAAAAAAAAAA"), "at_hash"),
}


def _assert_refused(browser: Browser, check: str) -> None:
    answer = browser.sign_in()
    assert answer.status_code == 400
    assert f"<b>{check}</b>" in answer.text
    assert "Set-Cookie" not in answer.headers
    assert browser.get("/bienvenue").location.startswith("/login?"), "nothing was opened"


@pytest.mark.parametrize("lie", LIES)
def test_an_id_token_that_lies_is_refused(browser: Browser, provider: FakeProvider, lie: str) -> None:
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
    "a key of another kind": ({"header": {"kid": "ec-1"}}, "kid"),
    "no key's name": ({"header": {"kid": ""}}, "kid"),
}


@pytest.mark.parametrize("forgery", SIGNATURES)
def test_a_signature_that_does_not_hold_is_refused(browser: Browser, provider: FakeProvider, forgery: str) -> None:
    changes, check = SIGNATURES[forgery]
    for name, value in changes.items():
        setattr(provider, name, value)
    _assert_refused(browser, check)


def test_a_changed_payload_is_refused(browser: Browser, provider: FakeProvider) -> None:
    good = provider.id_token

    def altered(asked: dict[str, str], access_token: str) -> str:
        header, _, signature = good(asked, access_token).split(".")
        provider.sub = "quelqu-un-d-autre"
        return f"{header}.{good(asked, access_token).split('.')[1]}.{signature}"

    provider.id_token = altered  # type: ignore[method-assign]
    _assert_refused(browser, "signature")


def test_es256_is_believed_too(browser: Browser, provider: FakeProvider) -> None:
    provider.signing_key, provider.algorithm = EC, "ES256"
    assert browser.sign_in().location == "/charte"


def test_a_new_key_is_fetched_when_it_is_met(browser: Browser, provider: FakeProvider) -> None:
    provider.keys = [EC]
    provider.signing_key, provider.algorithm = EC, "ES256"
    assert browser.sign_in().status_code == 303
    fetched = provider.calls.count("/jwks.json")
    fresh = FakeProvider()
    provider.keys, provider.signing_key, provider.algorithm = fresh.keys, fresh.signing_key, "RS256"
    assert browser.sign_in().status_code == 303
    assert provider.calls.count("/jwks.json") == fetched + 1
    assert browser.sign_in().status_code == 303
    assert provider.calls.count("/jwks.json") == fetched + 1, "a known key is not asked for again"


@pytest.mark.parametrize("sub", ["quelqu-un-d-autre", None])
def test_userinfo_about_somebody_else_is_refused(browser: Browser, provider: FakeProvider, sub: str | None) -> None:
    provider.userinfo_lie = _change(sub=sub)
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


@pytest.mark.parametrize("state", ["un-autre-state", "", None])
def test_an_answer_without_the_state_is_refused(browser: Browser, provider: FakeProvider, state: str | None) -> None:
    provider.answer_lie = {"state": state}
    answer = browser.sign_in()
    assert answer.status_code == 400
    assert "Reprenons depuis le début" in answer.text
    assert "/token" not in provider.calls


def test_an_answer_counts_once(browser: Browser, provider: FakeProvider) -> None:
    address = browser.leave()
    assert browser.get(address).status_code == 303
    replayed = browser.get(address)
    assert replayed.status_code == 400
    assert "Reprenons depuis le début" in replayed.text
    assert provider.calls.count("/token") == 1


def test_an_answer_counts_once_even_when_it_comes_eight_times_at_once(app: Flask, provider: FakeProvider) -> None:
    browser = Browser(app.test_client())
    path = browser.leave().removeprefix(PUBLIC_URL)
    cookie = browser.client.get_cookie("ent_ent-de-test", domain="localhost")
    assert cookie is not None

    def open_callback(_: int) -> int:
        headers = {"Cookie": f"{cookie.key}={cookie.value}"}
        return app.test_client(use_cookies=False).get(path, headers=headers).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(open_callback, range(8)))
    assert statuses == [303, *[400] * 7]
    assert provider.calls.count("/token") == 1


def test_an_answer_opened_in_another_browser_is_refused(app: Flask, provider: FakeProvider) -> None:
    address = Browser(app.test_client()).leave()
    victim = Browser(app.test_client())
    victim.leave()
    assert victim.get(address).status_code == 400
    assert Browser(app.test_client()).get(address).status_code == 400
    assert "/token" not in provider.calls


def test_an_answer_that_comes_after_an_hour_is_refused(browser: Browser, provider: FakeProvider) -> None:
    address = browser.leave()
    with time_machine.travel(time.time() + 3601, tick=True):
        assert "Reprenons depuis le début" in browser.get(address).text
    assert "/token" not in provider.calls


def test_two_tabs_do_not_disturb_one_another(browser: Browser) -> None:
    first, second = browser.leave(), browser.leave()
    assert browser.get(second).status_code == 303
    assert browser.get(first).status_code == 303


def test_an_answer_that_says_a_thing_twice_is_refused(browser: Browser, provider: FakeProvider) -> None:
    address = browser.leave()
    assert "<b>duplicate</b>" in browser.get(f"{address}&code=autre").text
    assert "/token" not in provider.calls


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


def test_discovery_that_describes_another_provider_is_refused(browser: Browser, provider: FakeProvider) -> None:
    provider.metadata_lie = {"issuer": "https://ailleurs.example"}
    assert "<b>metadata_issuer</b>" in browser.get("/login").text
    provider.metadata_lie = {"token_endpoint": "http://ailleurs.example/token"}
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


@pytest.mark.parametrize("lie", [{"access_token": None}, {"token_type": "DPoP"}, {"expires_in": "bientôt"}])
def test_a_token_response_that_makes_no_sense_opens_nothing(
    browser: Browser, provider: FakeProvider, lie: Claims
) -> None:
    provider.token_lie = lie
    assert browser.sign_in().status_code == 503
    assert browser.get("/bienvenue").location.startswith("/login?")


def test_a_provider_that_does_not_answer_is_a_page_that_says_so(tmp_path: Path) -> None:
    app = create_app(read_settings(environment("http://127.0.0.1:9", tmp_path)))
    answer = app.test_client().get("/login")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "30"
    assert "Scolarité Services ne répond pas" in answer.text


def test_no_token_travels_in_the_cookie_and_none_opens_a_session_from_the_file(
    browser: Browser, app: Flask, provider: FakeProvider
) -> None:
    browser.leave()
    before = browser.client.get_cookie("ent_ent-de-test")
    answer = browser.sign_in()
    after = browser.client.get_cookie("ent_ent-de-test")
    assert before is not None
    assert after is not None
    assert before.value != after.value, "a value planted before the sign-in is worth nothing"
    assert len(after.value) == 43
    header = answer.headers["Set-Cookie"]
    assert "HttpOnly" in header
    assert "SameSite=Lax" in header
    with sqlite3.connect(app.extensions["ent_settings"].database) as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()
    assert after.value not in dump
    assert "at-" in dump, "the tokens are on the server"
    stale = app.test_client(use_cookies=False).get("/charte", headers={"Cookie": f"{before.key}={before.value}"})
    assert stale.location.startswith("/login?")


def test_the_session_ends_after_eight_hours(browser: Browser) -> None:
    browser.enter()
    start = time.time()
    with time_machine.travel(start + 8 * 3600 - 60, tick=True):
        assert browser.get("/bienvenue").status_code == 200
    with time_machine.travel(start + 8 * 3600 + 60, tick=True):
        assert browser.get("/bienvenue").location.startswith("/login?")


def test_a_request_that_ends_after_the_sign_out_does_not_bring_the_session_back(app: Flask) -> None:
    store = app.extensions["ent_store"]
    store.save_session("s", "{}", int(time.time()) + 60, is_new=True)
    store.end_session("s")
    store.save_session("s", "{}", int(time.time()) + 60, is_new=False)
    assert store.find_session("s") is None


def test_the_charter_is_rendered_by_the_ent_and_trusted_in_nothing(browser: Browser) -> None:
    browser.sign_in()
    page = browser.get("/charte").text
    assert "<script" not in page
    assert "<img" not in page
    assert "<h2>Charte</h2>" in page
    assert "<h3>1. Respect</h3>" in page


@pytest.mark.parametrize("page", ["/notifications", "/bienvenue"])
def test_no_address_skips_the_charter(browser: Browser, page: str) -> None:
    browser.sign_in()
    assert browser.get(page).location == "/charte"
    refused = browser.get("/charte/refus").text
    assert "Vous n’avez pas accepté la charte" in refused
    assert browser.get(page).location == "/charte"


def test_no_address_skips_the_notifications(browser: Browser, provider: FakeProvider) -> None:
    provider.accepted = ["2"]
    assert browser.sign_in().location == "/notifications"
    assert browser.get("/bienvenue").location == "/notifications"


def test_the_box_must_be_ticked(browser: Browser, provider: FakeProvider) -> None:
    browser.sign_in()
    answer = browser.submit("/charte")
    assert answer.status_code == 400
    assert "<title>Erreur" in answer.text
    assert provider.accepted == []


def test_a_newer_charter_is_shown_and_the_old_one_not_recorded(browser: Browser, provider: FakeProvider) -> None:
    browser.sign_in()
    provider_before = provider.charter_version
    token = browser.get("/charte").text
    assert f'name="version" value="{provider_before}"' in token
    csrf = token.split('name="csrf_token" value="')[1].split('"')[0]
    provider.charter_version, provider.charter_text = "3", "## Nouveau texte"
    answer = browser.client.post("/charte", data={"csrf_token": csrf, "version": provider_before, "accord": "oui"})
    assert answer.status_code == 409
    assert "Nouveau texte" in answer.text
    assert "Le texte a changé" in answer.text
    assert provider.accepted == []
    assert browser.get("/bienvenue").location == "/charte"
    assert browser.submit("/charte", accord="oui").location == "/notifications"
    assert provider.accepted == ["3"]


def test_a_charter_accepted_on_another_device_is_not_asked_again(browser: Browser, provider: FakeProvider) -> None:
    browser.sign_in()
    provider.accepted.append("2")
    assert browser.get("/charte").location == "/notifications"


def test_an_ent_whose_charter_was_never_published_has_none_to_show(browser: Browser, provider: FakeProvider) -> None:
    provider.charter_status = 404
    browser.sign_in()
    assert browser.get("/charte").location == "/notifications"


def test_a_slow_reader_is_signed_in_again_and_a_useless_token_does_not_turn_in_circles(
    browser: Browser, provider: FakeProvider
) -> None:
    browser.sign_in()
    provider.token_refused = True
    at_once = browser.get("/charte")
    assert at_once.status_code == 400
    assert "<b>invalid_token</b>" in at_once.text
    with time_machine.travel(time.time() + 700, tick=True):
        assert browser.get("/charte").location == "/login"


@pytest.mark.parametrize(("charter", "scope", "first"), [
    ("provider", "openid profile email ent charter", "/notifications"),
    ("none", "openid profile email ent", "/notifications"),
])  # fmt: skip
def test_an_ent_that_leaves_the_charter_to_others(
    provider: FakeProvider, tmp_path: Path, charter: str, scope: str, first: str
) -> None:
    app = create_app(read_settings(environment(provider.issuer, tmp_path) | {"ENT_CHARTER": charter}))
    browser = Browser(app.test_client())
    assert browser.sign_in().location == first
    assert provider.requests[-1]["scope"] == scope


@pytest.mark.parametrize(
    "mail", ["", "noemie", "noemie@", "a@b@c", "x" * 300 + "@exemple.fr", "a@exemple.fr\nBcc: b@c.fr"]
)
def test_an_address_that_cannot_receive_is_said_and_kept_on_the_screen(
    browser: Browser, provider: FakeProvider, mail: str
) -> None:
    provider.accepted = ["2"]
    browser.sign_in()
    answer = browser.submit("/notifications", mail=mail)
    assert answer.status_code == 400
    assert 'aria-invalid="true"' in answer.text
    assert browser.get("/bienvenue").location == "/notifications"


def test_the_address_is_kept_for_the_person_across_sessions(
    browser: Browser, app: Flask, provider: FakeProvider
) -> None:
    browser.enter()
    again = Browser(app.test_client())
    assert again.sign_in().location == "/bienvenue"
    provider.sub = "un-autre-parent"
    assert Browser(app.test_client()).sign_in().location == "/notifications"


def test_an_unconfirmed_address_is_not_proposed(browser: Browser, provider: FakeProvider) -> None:
    provider.accepted, provider.userinfo_lie = ["2"], _change(email_verified="true")
    browser.sign_in()
    assert 'value=""' in browser.get("/notifications").text


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("/login?profil=parent", "profil:parent"),
        ("/login?profil=PARENT", "profil:parent"),
        ("/login?profil=chat", None),
        ("/login?login_hint=n.leroy", "n.leroy"),
        ("/login", None),
    ],
)
def test_the_profile_is_passed_on(browser: Browser, address: str, hint: str | None) -> None:
    assert query(browser.get(address).location).get("login_hint") == hint


def test_a_sign_in_begun_elsewhere(browser: Browser, app: Flask, provider: FakeProvider) -> None:
    assert browser.client.get("/login", query_string={"iss": "https://ailleurs.example"}).status_code == 400
    posted = browser.client.post("/login", data={"iss": provider.issuer, "login_hint": "profil:parent"})
    assert posted.status_code == 303
    assert query(browser.get(posted.location).location)["login_hint"] == "profil:parent"
    browser.enter()
    wanted = f"/login?iss={provider.issuer}&target_link_uri={PUBLIC_URL}/notifications"
    assert browser.sign_in(wanted).location == "/notifications"
    assert browser.submit("/notifications", mail="a@exemple.fr").location == "/bienvenue"


@pytest.mark.parametrize(
    "target",
    [
        "https://ailleurs.example/",
        "//ailleurs.example",
        f"{PUBLIC_URL}//ailleurs.example",
        f"{PUBLIC_URL}.ailleurs.example/x",
        f"{PUBLIC_URL}@ailleurs.example/x",
        f"{PUBLIC_URL}/\\ailleurs.example",
        f"{PUBLIC_URL}/\t/ailleurs.example",
        f"{PUBLIC_URL}/login",
        "javascript:alert(1)",
    ],
)
def test_nobody_is_sent_elsewhere_after_the_sign_in(browser: Browser, target: str) -> None:
    browser.enter()
    departure = browser.client.get("/login", query_string={"target_link_uri": target})
    answer = requests.get(departure.location, allow_redirects=False, timeout=5)
    assert browser.get(answer.headers["Location"]).location == "/bienvenue"


@pytest.mark.parametrize("page", ["/charte", "/notifications", "/logout"])
def test_a_form_of_another_site_does_nothing(browser: Browser, provider: FakeProvider, page: str) -> None:
    browser.sign_in()
    answer = browser.client.post(page, data={"accord": "oui", "version": "2", "mail": "pirate@exemple.fr"})
    assert answer.status_code == 400
    assert "Reprenons cette page" in answer.text
    assert provider.accepted == []
    assert browser.get("/charte").status_code == 200, "still signed in"


def test_the_sign_out_ends_the_session_here_whatever_the_provider_does(
    browser: Browser, provider: FakeProvider
) -> None:
    provider.metadata_lie = {"end_session_endpoint": None}
    browser.enter()
    cookie = browser.client.get_cookie("ent_ent-de-test")
    assert cookie is not None
    out = browser.submit("/bienvenue", "/logout")
    assert "<h1>Vous êtes déconnecté</h1>" in out.text
    browser.client.set_cookie(cookie.key, cookie.value)
    assert browser.get("/bienvenue").location.startswith("/login?"), "the old cookie opens nothing"


def test_every_answer_carries_the_security_headers(browser: Browser, provider: FakeProvider) -> None:
    for page in ("/", "/nulle-part", "/callback", "/accessibilite", "/static/ent.css"):
        with browser.get(page) as answer:
            headers = answer.headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert f"form-action 'self' {provider.issuer}" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert ("no-store" in headers["Cache-Control"]) == (page != "/static/ent.css")
    assert browser.client.get("/", headers={"Host": "ailleurs.example"}).status_code == 400


def test_an_https_ent_has_a_host_cookie_that_never_travels_in_clear(provider: FakeProvider, tmp_path: Path) -> None:
    given = environment(provider.issuer, tmp_path) | {"ENT_PUBLIC_URL": "https://passerelle.exemple.fr"}
    client = create_app(read_settings(given)).test_client()
    answer = client.get("/login", base_url="https://passerelle.exemple.fr")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-ent_ent-de-test=")
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie
    assert "max-age=31536000" in answer.headers["Strict-Transport-Security"]


@pytest.mark.parametrize("path", ["/callback?state=%FF%00&iss=%ED%A0%80", "/login?login_hint=%00%FF", "/?state=%FF"])
def test_bytes_that_are_no_text_are_no_server_error(browser: Browser, path: str) -> None:
    cookie = {"Cookie": 'ent_ent-de-test="\\377\\000"'}
    assert browser.client.get(path, headers=cookie).status_code < 500


def test_a_body_too_large_is_refused(browser: Browser) -> None:
    assert browser.client.post("/charte", data={"accord": "x" * 100_000}).status_code in {400, 413}
