"""Error pages: a cause, an action, a request id that is also in the log."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from tests.builders import PASSWORD, Build
from tests.pages import follow, heading, sign_in
from tests.web.tour import break_page, pages

_REFERENCE = re.compile(r"\b[2-9A-HJKMNP-TV-Z]{4}-[2-9A-HJKMNP-TV-Z]{4}\b")


def test_a_server_error_page_shows_the_reference_of_its_log_line(app: Flask, browser: FlaskClient) -> None:
    app.testing = False
    break_page(app, RuntimeError("boom"))
    references = []
    for _ in range(2):
        with capture_logs() as lines:
            page = browser.get("/mentions-legales")
        assert page.status_code == 500
        assert heading(page) == "Une erreur est survenue"
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
