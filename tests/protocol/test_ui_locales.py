"""`ui_locales`: the language of the pages, through all steps (security row A-25)."""

import re
from html import unescape

import pytest
from flask import Flask, render_template_string
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp import languages
from idp.accounts.models import Account
from tests.builders import PASSWORD, Build
from tests.pages import follow, heading, submit
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row

_LANGUAGE = re.compile(r'<html lang="([^"]+)"')


@pytest.fixture
def two_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service with a second language, whatever the product offers."""
    monkeypatch.setattr(languages, "OFFERED", ("fr", "en"))


def language(page: TestResponse) -> str:
    match = _LANGUAGE.search(page.get_data(as_text=True))
    assert match
    return match[1]


@pytest.mark.row("A-25")
def test_the_language_that_is_asked_for_holds_through_the_steps(
    two_languages: None, browser: FlaskClient, build: Build, parent: Account
) -> None:
    """OpenID Connect Core 1.0, 3.1.2.1."""
    ent = build.ent(charter="provider")
    build.publish(ent, "1")
    page = follow(browser, browser.get(ent.url(Attempt(), ui_locales="xx-% de en-GB fr", login_hint=None)))
    steps = []
    for fields in ({"profil": "parent"}, {"identifiant": parent.username, "mot_de_passe": PASSWORD}, {"accepte": "y"}):
        steps.append((page.request.path, language(page)))
        page = submit(browser, page, **fields, **({"version": "1"} if "accepte" in fields else {}))
    assert steps == [("/profil", "en"), ("/connexion", "en"), ("/charte", "en")]
    assert ent.answer(page)["code"]


@pytest.mark.row("A-25")
def test_the_person_s_language_overrides_ui_locales(
    two_languages: None, browser: FlaskClient, ent: RelyingParty
) -> None:
    """OpenID Connect Core 1.0, 3.1.2.1."""
    page = follow(browser, browser.get(ent.url(Attempt(), ui_locales="en", login_hint=None)))
    assert language(page) == "en"
    page = browser.get(page.request.full_path.replace("ui_locales=en", "ui_locales=fr"))
    assert language(page) == "fr"
    assert language(submit(browser, page, profil="parent")) == "fr"


@pytest.mark.row("A-25")
@each_row("tags", ["de", "", "x" * 5000, "é %00 -- _ fr_", "ko-Hang-KR", "i-klingon", "fr-u-co-phonebk"])
def test_a_language_that_is_not_there_is_no_error(
    browser: FlaskClient, ent: RelyingParty, session: Account, tags: str
) -> None:
    """OpenID Connect Core 1.0, 3.1.2.1."""
    for name in ("ui_locales", "claims_locales"):
        assert ent.answer(browser.get(ent.url(Attempt(), **{name: tags})))["code"]
        page = follow(browser, browser.get(ent.url(Attempt(), prompt="login", **{name: tags})))
        assert (heading(page), language(page)) == ("Connexion", "fr")


def test_parameters_with_names_of_flask_stay_in_the_language_link(app: Flask) -> None:
    """RFC 6749, 3.1. The framework uses these names of unknown parameters itself."""
    odd = "endpoint=x&_external=1&_scheme=ftp&_method=PUT&_anchor=a&self=b&demande=c&prompt=none&prompt=login"
    with app.test_request_context(f"/connexion?{odd}"):
        assert unescape(render_template_string("{{ language_url('fr') }}")) == f"?{odd}&langue=fr"
