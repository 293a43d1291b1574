"""Sign-ins at the sample ENT: its pages, its errors, the steps after the sign-in, and its command."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
import time_machine
from flask import Flask

from clients.ent.app import create_app
from clients.ent.settings import SettingsError, read_settings
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
    assert "version 2 du 1er septembre 2026" in browser.get("/charte").text
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
    assert "true" in inside[inside.index("charter_accepted</th>") :][:120]
    out = browser.submit("/bienvenue", "/logout")
    parameters = query(out.location)
    assert out.location.startswith(f"{provider.issuer}/logout?")
    assert (parameters["client_id"], parameters["post_logout_redirect_uri"]) == (CLIENT_ID, f"{PUBLIC_URL}/")
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


def test_a_provider_that_does_not_answer_gives_an_error_page(tmp_path: Path) -> None:
    app = create_app(read_settings(environment("http://127.0.0.1:9", tmp_path)))
    answer = app.test_client().get("/login")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
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
    # OpenID Connect Core 1.0, 3.1.2.1. The pages of the ENT itself are French, and say so to screen readers.
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


ROOT = Path(__file__).parents[2]


def _start(settings: dict[str, str]) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ENT_")}
    return subprocess.Popen(
        [sys.executable, "-m", "clients.ent"],
        cwd=ROOT,
        env=inherited | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_command_serves_until_it_receives_sigterm(tmp_path: Path) -> None:
    with _start(environment("http://127.0.0.1:9", tmp_path) | {"ENT_BIND": "127.0.0.1:0"}) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = re.search(r"listening on 127\.0\.0\.1:(\d+)", line)
        assert port is not None, line
        url = f"http://127.0.0.1:{port[1]}"
        assert requests.get(f"{url}/healthz", timeout=60).text == "ok\n"
        assert "<h1>Passerelle</h1>" in requests.get(url, timeout=60).text
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    assert (tmp_path / "ent.db").stat().st_mode & 0o077 == 0, "the file that holds tokens is its owner's"


def _refused(settings: dict[str, str]) -> str:
    with _start(settings) as process:
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "Traceback" not in complaint
    return complaint


def test_a_busy_port_is_reported_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        bind = f"127.0.0.1:{busy.getsockname()[1]}"
        complaint = _refused(environment("http://127.0.0.1:9", tmp_path) | {"ENT_BIND": bind})
    assert complaint.startswith(f"ENT_BIND {bind} cannot be listened on")
    assert complaint.count("\n") == 1


def test_a_file_that_is_no_database_is_reported_and_stays_unchanged(tmp_path: Path) -> None:
    (tmp_path / "ent.db").write_text("une liste de courses, pas une base de données" * 20)
    before = (tmp_path / "ent.db").read_bytes()
    complaint = _refused(environment("http://127.0.0.1:9", tmp_path))
    assert complaint.startswith("ENT_DATABASE cannot be used")
    assert (tmp_path / "ent.db").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENT_ISSUER", "http://ailleurs.example"),
        ("ENT_ISSUER", "connexion.exemple.fr"),
        ("ENT_ISSUER", "https://x:y@exemple.fr"),
        ("ENT_ISSUER", "https://exemple.fr:port"),
        ("ENT_PUBLIC_URL", "https://exemple.fr/ent"),
        ("ENT_PUBLIC_URL", "http://exemple.fr"),
        ("ENT_BIND", "8001"),
        ("ENT_BIND", "127.0.0.1:99999"),
        ("ENT_CHARTER", "peut-être"),
        ("ENT_ACCENT", "arc-en-ciel"),
        ("ENT_SCHOOLS", "Collège des Tilleuls"),
        ("ENT_SECRET_KEY", "trop-court"),
        ("ENT_CA_BUNDLE", "/nulle/part.pem"),
        ("ENT_CLIENT_SECRET", ""),
        ("ENT_NOM", "Passerelle"),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(environment("https://connexion.exemple.fr", tmp_path) | {name: value})
    assert len(caught.value.faults) == 1
    assert caught.value.faults[0].startswith(f"{name} ")
    assert "trop-court" not in caught.value.faults[0]


def test_every_fault_is_reported_together() -> None:
    complaint = _refused({"ENT_BIND": "rien"})
    for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "NAME", "PUBLIC_URL", "DATABASE", "SECRET_KEY", "BIND"):
        assert f"ENT_{name} " in complaint


def test_the_charter_is_rendered_by_the_ent_and_escaped(browser: Browser) -> None:
    browser.sign_in()
    page = browser.get("/charte").text
    assert "<script" not in page
    assert "<img" not in page
    assert "<h2>Charte</h2>" in page
    assert "<h3>1. Respect</h3>" in page


@pytest.mark.parametrize("page", ["/notifications", "/bienvenue"])
def test_pages_of_the_ent_require_the_charter(browser: Browser, page: str) -> None:
    browser.sign_in()
    assert browser.get(page).location == "/charte"
    assert "Vous n’avez pas accepté la charte" in browser.get("/charte/refus").text
    assert browser.get(page).location == "/charte"


def test_home_page_requires_the_notifications_step(browser: Browser, provider: FakeProvider) -> None:
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


def test_an_ent_without_published_charter_skips_the_charter(browser: Browser, provider: FakeProvider) -> None:
    provider.charter_status = 404
    browser.sign_in()
    assert browser.get("/charte").location == "/notifications"


def test_a_charter_that_is_withdrawn_while_it_is_read_is_not_required(browser: Browser, provider: FakeProvider) -> None:
    browser.sign_in()
    [token] = re.findall(r'name="csrf_token" value="([^"]+)"', browser.get("/charte").text)
    provider.charter_status = 404
    answer = browser.client.post("/charte", data={"csrf_token": token, "version": "2", "accord": "oui"})
    assert answer.location == "/notifications"
    assert provider.accepted == []


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
def test_charter_setting_decides_the_scope_and_the_first_page(
    provider: FakeProvider, tmp_path: Path, charter: str, scope: str, first: str
) -> None:
    app = create_app(read_settings(environment(provider.issuer, tmp_path) | {"ENT_CHARTER": charter}))
    assert Browser(app.test_client()).sign_in().location == first
    assert provider.requests[-1]["scope"] == scope


@pytest.mark.parametrize(
    "mail", ["", "noemie", "noemie@", "a@b@c", "x" * 300 + "@exemple.fr", "a@exemple.fr\nBcc: b@c.fr"]
)
def test_an_invalid_address_is_reported_and_kept_on_the_screen(
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
    assert Browser(app.test_client()).sign_in().location == "/bienvenue"
    provider.sub = "un-autre-parent"
    assert Browser(app.test_client()).sign_in().location == "/notifications"


def test_an_unconfirmed_address_is_not_proposed(browser: Browser, provider: FakeProvider) -> None:
    provider.accepted, provider.userinfo_lie = ["2"], change(email_verified="true")
    browser.sign_in()
    assert 'value=""' in browser.get("/notifications").text
