"""Error pages, limits of requests, `/.well-known/`, and « Reprenons depuis l’ENT » for an invalid or old URL.

Each error page has a cause, an action and a request id that is also in the log.
"""

import re
import time
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from idp.clock import now
from idp.config import ConfigurationError, load
from tests.activation.steps import open_activation
from tests.builders import COLLEGE, LYCEE, PASSWORD, Build
from tests.databases import ISSUER, SECRET
from tests.pages import follow, form_token, heading, sign_in, text_beside_menu
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row
from tests.services import change_settings
from tests.web.tour import break_page, pages

_REFERENCE = re.compile(r"\b[2-9A-HJKMNP-TV-Z]{4}-[2-9A-HJKMNP-TV-Z]{4}\b")


def test_a_server_error_page_shows_the_reference_of_its_log_line(app: Flask, browser: FlaskClient) -> None:
    app.testing = False
    break_page(app, RuntimeError("boom"))
    references = []
    for _ in range(2):
        with capture_logs() as lines:
            page = browser.get("/mentions-legales")
        assert (page.status_code, heading(page)) == (500, "Une erreur est survenue")
        assert "Vos informations sont en sécurité." in page.text
        [reference] = set(_REFERENCE.findall(page.text))
        [line] = lines
        assert (line["event"], line["log_level"], line["reference"]) == ("fault", "error", reference)
        assert line["where"][0] == "RuntimeError"
        assert any("tour.py" in place for place in line["where"])
        assert "boom" not in str(line), "what a fault says may hold what no log should"
        references.append(reference)
    assert references[0] != references[1]


def test_the_log_says_why_the_database_is_unavailable_in_fixed_words(app: Flask, browser: FlaskClient) -> None:
    written = 'could not read root certificate file "/etc/idp/base.crt": Permission denied, password private'
    break_page(app, OperationalError("SELECT 1", {}, Exception(written)))
    with capture_logs() as lines:
        page = browser.get("/mentions-legales")
    assert page.status_code == 503
    [line] = lines
    assert (line["event"], line["cause"]) == (
        "database unavailable",
        "the file that sslrootcert names cannot be read.",
    )
    assert "private" not in str(line)
    assert "sslrootcert" not in page.text, "a stranger learns nothing of the cause"


def test_every_page_has_links_to_help(app: Flask, build: Build) -> None:
    for name, page in pages(app, build):
        for gesture in (
            "03 53 01 12 12",
            "/mentions-legales",
            "/donnees-personnelles",
            "/accessibilite",
            'href="#contenu"',
        ):
            assert gesture in page.text, (name, gesture)
        main = page.text[page.text.index("<main") : page.text.index("</main>")]
        assert "<title>" in page.text
        assert len(re.sub(r"<[^>]*>", "", main)) > 120, name


@pytest.mark.parametrize(
    ("method", "place", "status", "title"),
    [
        ("GET", "/rien", 404, "Cette page n’existe pas"),
        ("PUT", "/connexion", 405, "Cette page ne s’ouvre pas ainsi"),
        ("TRACE", "/connexion", 405, "Cette page ne s’ouvre pas ainsi"),
        ("POST", "/connexion", 400, "Cette page est restée ouverte trop longtemps"),
        ("GET", "/activation", 400, "Reprenons depuis l’ENT"),
        ("GET", "/connexion?demande=x", 400, "Reprenons depuis l’ENT"),
        ("GET", "/profil/ailleurs", 404, "Cette page n’existe pas"),
    ],
)
def test_each_way_of_going_wrong_has_its_page(
    browser: FlaskClient, method: str, place: str, status: int, title: str
) -> None:
    answer = browser.open(place, method=method)
    assert (answer.status_code, heading(answer)) == (status, title)
    if status == 405:
        assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"


def test_an_error_page_that_sends_to_the_ent_has_a_button_to_it(app: Flask, build: Build) -> None:
    sent_back = []
    for name, page in pages(app, build):
        if page.status_code >= 400 and "evenez à l’ENT" in page.text:
            sent_back.append(name)
            assert re.search(r'<a class="btn" href="(/mon-ent|https://ent\.test/[^"]*|/mon-compte)">', page.text), name
    assert {"method", "too long", "address too long", "lost", "request refused"} <= set(sent_back)


def test_unknown_page_leads_to_the_sign_in_or_the_account(browser: FlaskClient, build: Build) -> None:
    for place in ("/rien", "/profil/ailleurs"):
        page = browser.get(place)
        [way_on] = re.findall(r'<a class="btn" href="([^"]+)">Se connecter</a>', page.text)
        assert heading(follow(browser, browser.get(way_on))) == "Connexion"
    assert heading(follow(browser, browser.get("/"))) == "Connexion"
    sign_in(browser, "/connexion", build.active().username, PASSWORD)
    for place in ("/", way_on):
        assert heading(follow(browser, browser.get(place))) == "Gérer mon compte"


def test_machines_get_json(browser: FlaskClient) -> None:
    for place, methods in (("/charter/acceptance", "OPTIONS, POST"), ("/token", "POST"), ("/register", "POST")):
        answer = browser.get(place)
        assert answer.status_code == 405
        described = f"this endpoint supports {methods}"
        assert answer.get_json() == {"error": "invalid_request", "error_description": described}
        assert sorted(answer.headers["Allow"].split(", ")) == methods.split(", ")
    assert browser.post("/charter/acceptance", data=b"x" * 70_000).is_json


_LOST = "Reprenons depuis l’ENT"
_LIST = ("/mon-ent", "Trouver mon ENT")


def _way_back(page: TestResponse) -> list[tuple[str, str]]:
    assert (page.status_code, heading(page)) == (400, _LOST)
    assert "restée ouverte longtemps, ou elle a été ouverte dans un autre navigateur" in page.text
    return re.findall(r'<a class="btn" href="([^"]+)">(.*?)</a>', page.text)


@pytest.mark.row("A-22")
def test_another_browser_is_led_back_to_the_ent_without_details(app: Flask, browser: FlaskClient, build: Build) -> None:
    ent, account, attempt = build.ent(), build.never_activated(), Attempt()
    url = open_activation(browser, account, ent.url(attempt)).request.full_path
    for stranger in (app.test_client(), browser):
        if stranger is browser:
            browser.delete_cookie("__Host-tx", domain="connexion.exemple.test")
        page = stranger.get(url)
        assert _way_back(page) == [("https://ent.test/", "Revenir à l’ENT Passerelle")]
        text = text_beside_menu(page) + str(page.headers)
        for secret in (account.username, str(account.id), attempt.state, attempt.nonce, "LEROY", "/cb", "demande="):
            assert secret not in text, secret


def test_an_address_that_was_changed_names_no_ent(browser: FlaskClient, ent: RelyingParty) -> None:
    url = browser.get(ent.url(Attempt())).headers["Location"]
    head, _, signature = url.partition("demande=")[2].rpartition(".")
    for bent in ("x", f"{head}.{signature[::-1]}", f"{head[:-2]}.{signature}", f".{head}.{signature}", head):
        assert _way_back(browser.get("/connexion", query_string={"demande": bent})) == [_LIST]


def test_page_leads_to_the_list_instead_of_an_ent_without_an_address(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    url = browser.get(build.ent(home_uri="").url(Attempt())).headers["Location"]
    assert _way_back(app.test_client().get(url)) == [_LIST]


@pytest.mark.parametrize("place", ["/activation", "/adresse/confirmation", "/adresse/modifier"])
def test_step_opened_by_itself_leads_to_the_sign_in(browser: FlaskClient, place: str) -> None:
    page = browser.get(place)
    assert _way_back(page) == [_LIST]
    assert '<a class="btn alt" href="/connexion">Se connecter</a>' in page.text


def test_an_expired_activation_leads_back_to_the_ent(browser: FlaskClient, build: Build) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        url = open_activation(browser, build.never_activated(), build.ent().url(Attempt())).request.full_path
        clock.shift(timedelta(minutes=31))
        for place in (url, url.replace("/activation?", "/activation/non-representant?")):
            assert _way_back(browser.get(place)) == [("https://ent.test/", "Revenir à l’ENT Passerelle")]


def test_a_waiting_page_of_another_browser_leads_back_to_the_ent(browser: FlaskClient, build: Build) -> None:
    url = open_activation(browser, build.never_activated(), build.ent().url(Attempt())).request.full_path
    waiting = url.replace("/activation?", "/adresse/confirmation?")
    assert _way_back(follow(browser, browser.get(waiting))) == [("https://ent.test/", "Revenir à l’ENT Passerelle")]


def test_the_list_names_each_ent_that_has_an_address_with_its_schools(browser: FlaskClient, build: Build) -> None:
    assert "Accéder à" not in browser.get("/mon-ent").text
    build.child(), build.child("Inès", uai=LYCEE)
    build.ent("Passerelle", uais=[COLLEGE])
    build.ent("Horizon", "horizon.test", uais=[LYCEE], home_uri="")
    page = browser.get("/mon-ent")
    assert re.findall(r'<a class="btn" href="([^"]+)">(.*?)</a>', page.text) == [
        ("https://ent.test/", "Accéder à l’ENT Passerelle")
    ]
    assert "Collège des Tilleuls" in page.text
    assert "Lycée Louise-Weber" not in page.text
    assert 'class="more"' not in page.text, "few schools are not folded"


@pytest.mark.row("W-04")
@pytest.mark.parametrize(
    ("field", "status"),
    [
        ({"x" * 70_000: "1"}, 413),
        ({f"f{n}": "" for n in range(60)}, 413),
        ({f"f{n}": "" for n in range(20_000)}, 413),
        ({"identifiant" + "[a]" * 2_000: ""}, 200),
    ],
    ids=["one long name", "sixty fields", "many fields", "nested names"],
)
def test_a_form_that_no_page_of_ours_sends_is_refused_quickly(
    browser: FlaskClient, field: dict[str, str], status: int
) -> None:
    token = form_token(browser.get("/connexion"))
    body = urlencode({"csrf_token": token, "identifiant": "", "mot-de-passe": "", **field})
    start = time.thread_time()  # CPU time of this thread, independent of the load of the machine
    answer = browser.post("/connexion", data=body, content_type="application/x-www-form-urlencoded")
    assert time.thread_time() - start < 1.5
    assert answer.status_code == status
    if status == 413:
        assert heading(answer) == "Ce message est trop long"


@pytest.mark.row("W-04")
def test_files_are_refused(browser: FlaskClient) -> None:
    token = form_token(browser.get("/connexion"))
    files = {f"f{n}": (BytesIO(b"x"), f"{n}.txt") for n in range(200)}
    assert browser.post("/connexion", data={"csrf_token": token, **files}).status_code == 415


@pytest.mark.row("W-04")
def test_long_addresses_and_cookies_are_refused(app: Flask, browser: FlaskClient) -> None:
    assert browser.get("/connexion?x=" + "x" * 8_180).status_code == 414
    for query, status in (("a&" * 4_086, 414), ("%&" * 100, 414), ("a=b&" * 99, 200), ("%ff" * 2_700, 200)):
        answer = browser.get(f"/mentions-legales?{query}")
        assert answer.status_code == status
        assert len(answer.data) < 20_000, "no long query is repeated for each language"
    assert heading(browser.get("/connexion?x=" + "x" * 60_000)) == "Cette adresse est trop longue"
    stuffed = app.test_client()
    for n in range(20):
        stuffed.set_cookie(f"c{n}", "x" * 1000, domain="connexion.exemple.test")
    assert stuffed.get("/connexion").status_code == 413
    assert browser.get("/adresse/lien/" + "x" * 60_000).status_code == 414


@pytest.mark.parametrize(
    "strange",
    ["\x00", "%00", "%ff%fe", "é", "\u202e", "%0d%0aSet-Cookie:x=1", "../../etc/passwd", "{{7*7}}", "' OR 1=1 --", "%"],
)
def test_strange_characters_give_a_page_and_no_server_error(browser: FlaskClient, build: Build, strange: str) -> None:
    token = form_token(browser.get("/connexion"))
    data = {"csrf_token": token, "identifiant": strange, "mot-de-passe": strange, "profil": strange, "version": strange}
    places = ["/connexion", "/profil", "/activation", "/adresse/confirmation", "/adresse/modifier", "/charte"]
    places += ["/charte/refus", "/profil/ailleurs", "/mon-compte", "/identifiant-oublie", "/authorize/resume"]
    places += [f"/adresse/lien/{strange}"]
    for place in places:
        for url in (f"{place}?demande={strange}&ui_locales={strange}", place):
            for answer in (browser.get(url), browser.post(url, data=data)):
                assert answer.status_code < 500, url
                assert answer.headers.get("X") is None
                assert "Traceback" not in answer.text
    headers = {"Accept-Language": "fr;q=x, \xe9, *;q=9", "User-Agent": "\xff" * 400, "Cookie": "lang=\xff; profil=\xff"}
    assert browser.get("/connexion", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "contact", ["mailto:securite@exemple.fr", "https://exemple.fr/securite", "tel:+33-3-53-01-12-12"]
)
def test_security_txt_names_a_contact_and_has_not_expired(app: Flask, browser: FlaskClient, contact: str) -> None:
    change_settings(app, security_contact=contact)
    answer = browser.get("/.well-known/security.txt")
    assert (answer.status_code, answer.content_type) == (200, "text/plain; charset=utf-8")
    fields = dict(line.split(": ", 1) for line in answer.text.splitlines())
    assert (fields["Contact"], fields["Canonical"]) == (contact, f"{ISSUER}/.well-known/security.txt")
    assert timedelta(days=30) < datetime.fromisoformat(fields["Expires"]) - now() < timedelta(days=365)
    assert "Set-Cookie" not in answer.headers


@each_row("contact", ["securite@exemple.fr", "http://exemple.fr/x", "mailto:a@b c", "mailto:x\nExpires: 1"])
def test_an_invalid_contact_stops_the_start(contact: str) -> None:
    options: dict[str, Any] = {"issuer": ISSUER, "secret_key": SECRET}
    with pytest.raises(ConfigurationError, match="IDP_SECURITY_CONTACT"):
        load(**options, security_contact=contact)
