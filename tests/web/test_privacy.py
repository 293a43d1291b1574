"""N-04 and N-01: without a session no page shows personal data."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.activation.steps import activate, newest_link
from tests.builders import PASSWORD, Build
from tests.pages import follow, sign_in, submit

_NAMES = ("Noémie", "LEROY", "VANDEPUTTE", "Malo", "Tilleuls", "6e 1", "noemie", "@exemple.fr", "@")


@pytest.mark.row("N-04")
def test_without_a_session_no_page_holds_a_name_an_address_or_a_child(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account = build.never_activated()
    waiting = activate(browser, account, mail="noemie@exemple.fr")
    link = newest_link(build.settings, account.id)
    stranger = app.test_client()
    places = ["/connexion", "/profil", "/activation", "/activation/non-representant", "/mon-compte", "/charte"]
    places += [
        "/adresse/confirmation",
        "/adresse/modifier",
        "/identifiant-oublie",
        "/mot-de-passe-oublie",
        "/logout",
        link,
    ]
    places += [waiting.request.full_path, waiting.request.full_path.replace("/confirmation", "/modifier")]
    pages = [follow(stranger, stranger.get(place)) for place in places]
    question = stranger.get(link)
    pages += [submit(stranger, question), stranger.get(link), sign_in(stranger, "/connexion", "n.leroy", "faux")]
    for page in pages:
        text = page.text.replace("n.leroy4821", "").replace('value="n.leroy"', "")
        if page.request.path == link:
            text = text.replace("Collège des Tilleuls", "")  # only the school is notified: E-06
        assert not any(name in text for name in _NAMES), page.request.path


@pytest.mark.row("N-04")
def test_a_session_shows_its_own_persons_names_only(app: Flask, build: Build) -> None:
    build.active(given_name="Paul", family_name="MARTIN", email="paul@exemple.fr", children=[build.child("Zoé")])
    own = build.active(children=[build.child("Lila")])
    browser = app.test_client()
    text = sign_in(browser, "/connexion", own.username, PASSWORD).text
    assert "Lila" in text
    assert not any(word in text for word in ("Paul", "MARTIN", "paul@", "Zoé"))
    browser.delete_cookie("__Host-ss", domain="connexion.exemple.test")
    assert "Lila" not in follow(browser, browser.get("/mon-compte")).text


@pytest.mark.row("M-08")
def test_names_of_the_schools_file_are_text_everywhere(browser: FlaskClient, build: Build) -> None:
    evil = '<script>alert(1)</script>"{{7*7}}'
    child = build.child(evil, family_name=evil)
    account = build.never_activated(given_name=evil, family_name=evil, civility="", children=[child])
    waiting = activate(browser, account)
    page = sign_in(browser, "/connexion", account.username, "orage brique hamster violon")
    link = newest_link(build.settings, account.id)
    submit(browser, browser.get(link))
    shown = browser.get("/mon-compte")
    for text in (waiting.text, page.text, shown.text):
        assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown.text
    assert "{{7*7}}" in shown.text
