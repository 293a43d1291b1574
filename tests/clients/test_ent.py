"""Sign-ins at the sample ENT: its pages, its errors, and what it asks the provider for."""

import re
from pathlib import Path

import pytest
import requests

from clients.ent.app import create_app
from clients.ent.settings import read_settings
from tests.clients.conftest import PUBLIC_URL, Browser, change, environment, query
from tests.clients.fake_provider import (
    CLIENT_ID,
    EC,
    FakeProvider,
)


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


def test_a_false_id_token_opens_no_session(browser: Browser, provider: FakeProvider) -> None:
    provider.claims_lie = change(nonce="autre")
    answer = browser.sign_in()
    assert answer.status_code == 400
    assert "<b>nonce</b>" in answer.text
    assert "Set-Cookie" not in answer.headers
    assert browser.get("/bienvenue").location.startswith("/login?"), "nothing was opened"


def test_an_ent_that_registered_es256_accepts_es256(provider: FakeProvider, tmp_path: Path) -> None:
    provider.signing_key, provider.algorithm = EC, "ES256"
    app = create_app(read_settings(environment(provider.issuer, tmp_path) | {"ENT_ID_TOKEN_ALG": "ES256"}))
    assert Browser(app.test_client()).sign_in().location == "/charte"


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


def test_the_page_that_another_site_asks_for_is_shown_after_the_steps(browser: Browser, provider: FakeProvider) -> None:
    browser.enter()
    expected_url = f"/login?iss={provider.issuer}&target_link_uri={PUBLIC_URL}/notifications"
    assert browser.sign_in(expected_url).location == "/notifications"
    assert browser.submit("/notifications", mail="a@exemple.fr").location == "/bienvenue"
