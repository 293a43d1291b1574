"""« Sélectionnez votre profil »: profiles that continue here, profiles of other services, and the stored choice."""

from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.paths import TEMPLATES
from tests.builders import PASSWORD, Build
from tests.pages import follow, heading, submit
from tests.relying_party import Attempt, RelyingParty

_ASKED = "Sélectionnez votre profil"
_HOST = "connexion.exemple.test"


def _url(ent: RelyingParty, hint: str | None = None) -> str:
    return ent.url(Attempt(), login_hint=hint)


def test_a_parent_continues_to_the_sign_in_and_reaches_the_ent(
    browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    account, attempt = build.active(), Attempt()
    page = follow(browser, browser.get(ent.url(attempt, login_hint=None)))
    assert heading(page) == _ASKED
    for label in ("Élève", "Parent", "Enseignant", "Personnel"):
        assert f">{label}</button>" in page.text
    assert (TEMPLATES / "letter" / "step1.svg").read_text() in page.text
    page = submit(browser, page, profil="parent")
    assert heading(page) == "Connexion"
    assert "Pour entrer dans <b>Passerelle</b>" in page.text
    answer = ent.answer(submit(browser, page, identifiant=account.username, mot_de_passe=PASSWORD))
    assert answer["state"] == attempt.state


def test_the_choice_is_remembered_by_the_browser(app: Flask, browser: FlaskClient, ent: RelyingParty) -> None:
    submit(browser, follow(browser, browser.get(_url(ent))), profil="parent")
    assert heading(follow(browser, browser.get(_url(ent)))) == "Connexion"
    cookie = browser.get_cookie("__Host-profil", domain=_HOST)
    assert cookie is not None
    assert cookie.value == "parent"
    assert cookie.max_age == int(timedelta(days=180).total_seconds())
    assert heading(follow(app.test_client(), app.test_client().get("/profil"))) == _ASKED


def test_a_remembered_choice_can_be_changed(browser: FlaskClient, ent: RelyingParty) -> None:
    submit(browser, follow(browser, browser.get(_url(ent))), profil="parent")
    page = follow(browser, browser.get(_url(ent)))
    start = page.text.index('href="/profil?') + len('href="')
    again = browser.get(page.text[start : page.text.index('"', start)].replace("&amp;", "&"))
    assert heading(again) == _ASKED
    assert heading(submit(browser, again, profil="enseignant")) == "Votre connexion est ailleurs"
    assert heading(follow(browser, browser.get(_url(ent)))) == _ASKED, "a pupil's choice is not the parent's"


def test_a_hint_of_the_request_skips_the_page(app: Flask, ent: RelyingParty) -> None:
    for hint, title in (
        ("profil:parent", "Connexion"),
        ("profil:eleve", "Votre connexion est ailleurs"),
        ("profil:inconnu", _ASKED),
        ("n.leroy4821", _ASKED),
        ("profil:", _ASKED),
    ):
        browser = app.test_client()
        assert heading(follow(browser, browser.get(_url(ent, hint)))) == title, hint


@pytest.mark.parametrize("profile", ["eleve", "enseignant", "personnel"])
def test_another_profile_is_directed_to_another_sign_in(browser: FlaskClient, ent: RelyingParty, profile: str) -> None:
    page = submit(browser, follow(browser, browser.get(_url(ent))), profil=profile)
    assert heading(page) == "Votre connexion est ailleurs"
    assert "Ici, seuls les parents se connectent." in page.text
    assert 'type="password"' not in page.text


@pytest.mark.parametrize("chosen", ["", "admin", "parent\x00", "x" * 5_000, "PARENT"])
def test_an_invalid_profile_shows_the_choice_again(browser: FlaskClient, ent: RelyingParty, chosen: str) -> None:
    page = submit(browser, follow(browser, browser.get(_url(ent))), profil=chosen)
    assert (page.status_code, heading(page)) == (200, _ASKED)
    assert browser.get_cookie("__Host-profil", domain=_HOST) is None


def test_an_invalid_profile_cookie_is_ignored(browser: FlaskClient, ent: RelyingParty) -> None:
    for value in ("admin", "eleve", "x" * 3_000, '"', "éé"):
        browser.set_cookie("__Host-profil", value, domain=_HOST, secure=True)
        assert heading(follow(browser, browser.get(_url(ent)))) == _ASKED
