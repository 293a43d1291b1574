"""`ui_locales`: the language of the pages, as far as there is one, through all steps (security row A-25)."""

import re

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.web import i18n
from tests.builders import PASSWORD, Build
from tests.pages import follow, heading, submit
from tests.protocol.flow import one_database
from tests.relying_party import Attempt, RelyingParty

pytestmark = one_database
_LANGUAGE = re.compile(r'<html lang="([^"]+)"')


@pytest.fixture
def two_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service with a second language: today there is one, and a choice of one is none."""
    monkeypatch.setattr(i18n, "LANGUAGES", ("fr", "en"))


def language(page: TestResponse) -> str:
    found = _LANGUAGE.search(page.get_data(as_text=True))
    assert found
    return found[1]


def test_a25_the_language_that_is_asked_for_holds_through_the_steps(
    two_languages: None, browser: FlaskClient, build: Build, parent: Account
) -> None:
    """OpenID Connect Core 1.0, 3.1.2.1: "ui_locales OPTIONAL. End-User's preferred languages and scripts for the user
    interface, represented as a space-separated list of BCP47 [RFC5646] language tag values, ordered by preference".
    """
    ent = build.ent(charter="provider")
    build.publish(ent, "1")
    page = follow(browser, browser.get(ent.url(Attempt(), ui_locales="xx-% de en-GB fr", login_hint=None)))
    headings = []
    for fields in ({"profil": "parent"}, {"identifiant": parent.username, "mot_de_passe": PASSWORD}, {"accepte": "y"}):
        headings.append((heading(page), language(page)))
        page = submit(browser, page, **fields, **({"version": "1"} if "accepte" in fields else {}))
    assert headings == [("Sélectionnez votre profil", "en"), ("Connexion", "en"), ("Charte ENT", "en")]
    assert ent.answer(page)["code"]


def test_a25_the_person_s_own_choice_goes_before_and_on(
    two_languages: None, browser: FlaskClient, ent: RelyingParty
) -> None:
    """OpenID Connect Core 1.0, 3.1.2.1: the tags are the client's guess at the "End-User's preferred languages and
    scripts for the user interface"; who chose another one on the page keeps it.
    """
    page = follow(browser, browser.get(ent.url(Attempt(), ui_locales="en", login_hint=None)))
    assert language(page) == "en"
    page = browser.get(page.request.full_path.replace("ui_locales=en", "ui_locales=fr"))
    assert language(page) == "fr"
    assert language(submit(browser, page, profil="parent")) == "fr"


@pytest.mark.parametrize("tags", ["de", "", "x" * 5000, "é %00 -- _ fr_", "zh-Hant-TW", "i-klingon", "fr-u-co-phonebk"])
def test_a25_a_language_that_is_not_there_is_no_error(
    browser: FlaskClient, ent: RelyingParty, session: Account, tags: str
) -> None:
    """OpenID Connect Core 1.0, 3.1.2.1: "An error SHOULD NOT result if some or all of the requested locales are not
    supported by the OpenID Provider".
    """
    for name in ("ui_locales", "claims_locales"):
        assert ent.answer(browser.get(ent.url(Attempt(), **{name: tags})))["code"]
        page = follow(browser, browser.get(ent.url(Attempt(), prompt="login", **{name: tags})))
        assert (heading(page), language(page)) == ("Connexion", "fr")


@pytest.mark.parametrize("display", ["page", "popup", "touch", "wap", "x"])
def test_a25_every_display_is_served_as_a_page(
    browser: FlaskClient, ent: RelyingParty, session: Account, display: str
) -> None:
    """OpenID Connect Core 1.0, 15.1: "OPs MUST support the display parameter … (Note that the minimum level of support
    required for this parameter is simply that its use must not result in an error.)".
    """
    assert ent.answer(browser.get(ent.url(Attempt(), display=display)))["code"]
