"""The language of pages: the menu keeps what was typed and is remembered, and French has its typography."""

import re
from datetime import timedelta
from html import unescape

import pytest
import time_machine
from babel import Locale
from flask import Flask, render_template_string
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp import languages
from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from idp.web.i18n import Plurals, french_spacing
from tests.activation.steps import EMAIL, activate, open_activation
from tests.builders import PASSWORD, Build
from tests.email_confirmation.post import html_of, post_office, text_of
from tests.login.test_staying import close, stay
from tests.pages import follow, sign_in, submit
from tests.relying_party import Attempt, RelyingParty
from tests.services import change_settings
from tests.web.tour import tour

SECRET = "girafe brouette tilleul ardoise"


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two languages beside French, whatever the product offers: their texts may be French here."""
    monkeypatch.setattr(languages, "OFFERED", ("fr", "en", "ar"))


def language(page: TestResponse) -> tuple[str, str]:
    match = re.search(r'<html lang="([^"]+)" dir="([^"]+)"', page.text)
    assert match
    return match[1], match[2]


def typed(page: TestResponse, name: str) -> str:
    [field] = [field for field in re.findall(r"<input\b[^>]*>", page.text) if f'name="{name}"' in field]
    match = re.search(r' value="([^"]*)"', field)
    return unescape(match[1]) if match else ""


def locale_of(account: Account) -> str:
    db.session.rollback()
    return db.session.get_one(Account, account.id, populate_existing=True).locale


@pytest.mark.usefixtures("offered")
def test_a_change_of_language_keeps_the_identifier_and_does_not_sign_in(browser: FlaskClient, parent: Account) -> None:
    page = browser.get("/connexion")
    page = submit(browser, page, identifiant=parent.username, mot_de_passe=PASSWORD, langue="en")
    assert (page.status_code, page.request.path, language(page)) == (200, "/connexion", ("en", "ltr"))
    assert (typed(page, "identifiant"), typed(page, "mot-de-passe")) == (parent.username, "")
    assert PASSWORD not in page.text
    assert 'class="err" id=' not in page.text, "nothing was judged"
    assert follow(browser, browser.get("/mon-compte")).request.path == "/connexion"
    assert language(browser.get("/connexion")) == ("en", "ltr"), "the browser remembers it"
    assert submit(browser, page, identifiant=parent.username, mot_de_passe=PASSWORD).request.path == "/mon-compte"
    assert locale_of(parent) == "fr-FR", "the account does not know the browser: the mail of the alarm is as before"


@pytest.mark.usefixtures("offered")
def test_a_change_of_language_keeps_the_email_and_does_not_activate(
    app: Flask, browser: FlaskClient, newcomer: Account
) -> None:
    page = open_activation(browser, newcomer)
    page = submit(browser, page, nouveau=SECRET, confirmation=SECRET, mail=EMAIL, langue="ar")
    assert (page.request.path, language(page), typed(page, "mail")) == ("/activation", ("ar", "rtl"), EMAIL)
    assert SECRET not in page.text
    page = submit(browser, page, nouveau=SECRET, confirmation=SECRET, mail=EMAIL)
    assert (page.request.path, language(page), locale_of(newcomer)) == ("/adresse/confirmation", ("ar", "rtl"), "ar")
    with post_office(app) as office:
        [mail] = office.deliver()
    assert mail["Content-Language"] == "ar"
    assert '<html lang="ar" dir="rtl">' in html_of(mail)


@pytest.mark.usefixtures("offered")
def test_a_form_without_its_token_does_not_come_back_filled(browser: FlaskClient) -> None:
    page = browser.post("/connexion", data={"identifiant": "x.intrus", "langue": "en"})
    assert "x.intrus" not in page.text


@pytest.mark.usefixtures("offered")
def test_a_link_of_the_menu_leads_back_to_its_page(browser: FlaskClient, ent: RelyingParty) -> None:
    page = follow(browser, browser.get(ent.url(Attempt(), login_hint=None, ui_locales="fr")))
    [url] = [unescape(link) for link in re.findall(r'href="(\?[^"]+)" lang="en"', page.text)]
    answer = browser.get(page.request.path + url)
    assert (answer.status_code, answer.headers["Location"]) == (303, page.request.full_path)
    page = follow(browser, answer)
    assert language(page) == ("en", "ltr"), "the person's choice counts more than that of the ENT"
    assert language(submit(browser, page, profil="parent")) == ("en", "ltr")


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize("path", ["/connexion?langue=tlh", "/introuvable?langue=en", "/connexion?langue=fr%0d%0aX: y"])
def test_a_strange_link_is_no_error(browser: FlaskClient, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code in {200, 404}
    assert language(answer)[0] == ("en" if "=en" in path else "fr")


@pytest.mark.usefixtures("offered")
def test_the_choice_of_a_person_in_a_known_browser_is_kept_for_mails(browser: FlaskClient, parent: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        sign_in(browser, "/connexion", parent.username, PASSWORD)
        page = browser.get("/mon-compte/mot-de-passe")
        assert language(submit(browser, page, langue="en")) == ("en", "ltr")
        assert locale_of(parent) == "fr-FR", "who stole the password must not choose the language of the alarm"
        clock.shift(timedelta(days=1, minutes=1))
        page = follow(browser, browser.get("/mon-compte"))
        submit(browser, page, identifiant=parent.username, mot_de_passe=PASSWORD)
        assert locale_of(parent) == "en"
        assert language(follow(browser, browser.get("/mon-compte?langue=ar"))) == ("ar", "rtl")
        assert locale_of(parent) == "en", "any site may lead to a link"
        submit(browser, browser.get("/mon-compte/mot-de-passe"), langue="fr")
        assert locale_of(parent) == "fr-FR"


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize(
    "path",
    ["/session/check", "/.well-known/passkey-endpoints", "/.well-known/security.txt", "/static/nix", "/healthz"],
)
def test_what_caches_or_programs_get_is_nobodys(app: Flask, browser: FlaskClient, build: Build, path: str) -> None:
    stay(browser, build.active())
    close(browser)
    change_settings(app, security_contact="mailto:securite@exemple.test")
    answer = browser.get(f"{path}?langue=en")
    assert answer.headers.getlist("Set-Cookie") == []
    assert answer.status_code in {200, 404}, "no redirect that follows a choice of language"


@pytest.mark.usefixtures("offered")
def test_a_mail_in_a_language_that_is_not_offered_any_more_is_french(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account = build.never_activated(locale="tr")
    activate(browser, account)
    account.locale = "tr"
    with post_office(app) as office:
        [mail] = office.deliver()
    assert mail["Content-Language"] == "fr"


@pytest.mark.usefixtures("offered")
def test_accept_language_is_read_in_the_order_of_preference(browser: FlaskClient) -> None:
    for header, expected in (
        ("de, en-GB;q=0.5, fr;q=0.4", "en"),
        ("fr;q=0.4, ar-MA", "ar"),
        ("en;q=0, de", "fr"),
        ("*", "fr"),
        ("é, ,;;q=x", "fr"),
    ):
        assert language(browser.get("/connexion", headers={"Accept-Language": header}))[0] == expected, header


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("fr", ' data-text="2 {n}" data-one="1 {n}"'),
        ("zh_Hans", ' data-text="1 {n}"'),
        ("uk", ' data-text="5 {n}" data-one="1 {n}" data-few="2 {n}"'),
        ("ar", ' data-text="100 {n}" data-one="1 {n}" data-two="2 {n}" data-few="3 {n}" data-many="11 {n}"'),
    ],
)
def test_the_script_has_the_plural_forms_of_the_language(locale: str, expected: str) -> None:
    # Each form says here for which number it was asked first.
    assert Plurals(Locale.parse(locale), lambda n: f"{n} {{n}}").attributes("text") == expected


_LOOSE = re.compile(r"[^\s] [:;?!»%]|« |\w'\w")
_UNSPACED = re.compile(r"[a-zàâçéèêëîïôûùüÿœ][;?!»]|[a-zéè]:(?!/)|«\w")


def _words(html: str) -> str:
    body = re.sub(r"<(script|style|svg|code)\b.*?</\1>", "", html[html.index("<title") :], flags=re.DOTALL)
    return unescape(re.sub(r"<[^>]*>", " ", body).replace("\n", " "))


def _check_menu(name: str, page: str) -> None:
    """Check that a page offers each language by its own name, with buttons of the form that it shows again."""
    menu = page.partition('<details class="langs">')[2].partition("</details>")[0]
    assert re.findall(r">([^<>]+)</(?:a|button)>", menu) == ["Français", "English", "العربية"], name
    count = page.count('id="saisie"')
    assert ('name="langue"' in menu) == (count == 1), name
    if count:
        first = re.findall(r'<button\b[^>]*form="saisie"[^>]*>', page)[0]
        assert "langue" not in first, f"{name}: the key Enter presses the first button of a form"


@pytest.mark.own_app  # the application keeps some pages with the languages that it offered when it made them
def test_every_page_spaces_its_punctuation_as_french_does_and_has_the_menu_of_languages(
    app: Flask, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(languages, "OFFERED", ("fr", "en", "ar"))
    for name, page in tour(app, build):
        _check_menu(name, page.text)
        words = re.sub(r" +", " ", re.sub(r"(?<=\S) +(?=</)", "", _words(page.text)))
        assert not _LOOSE.search(words), (name, _LOOSE.search(words), words)
        assert not _UNSPACED.search(words), (name, _UNSPACED.search(words))
        assert '<html lang="fr" dir="ltr">' in page.text
        assert page.text.count("<h1") == 1, name


def test_the_mail_spaces_its_punctuation_too(app: Flask, browser: FlaskClient, build: Build) -> None:
    activate(browser, build.never_activated())
    with post_office(app) as office:
        [mail] = office.deliver()
    for text in (text_of(mail), _words(html_of(mail))):
        assert not _LOOSE.search(text), _LOOSE.search(text)
        assert not _UNSPACED.search(text), _UNSPACED.search(text)


def test_spaces_are_added_before_french_punctuation_alone() -> None:
    assert french_spacing("Prêt ? « Oui » : 20 % ; bien !") == "Prêt\xa0? «\xa0Oui\xa0»\xa0: 20\xa0%\xa0; bien\xa0!"
    assert french_spacing("https://exemple.fr/a?b=c") == "https://exemple.fr/a?b=c"
    assert french_spacing("Encore %(n)s s") == "Encore %(n)s s"


def test_a_name_with_an_apostrophe_is_escaped_once(app: Flask) -> None:
    page = "{{ _('%(name)s attend : « <b> »', name=name)|spacing }} {{ name|spacing }}"
    with app.test_request_context():
        text = render_template_string(page, name="Mme O'BRIEN & <b>")
    name = "Mme O&#39;BRIEN &amp; &lt;b&gt;"
    assert text == f"{name} attend\xa0: «\xa0<b>\xa0» {name}"
