"""French typography on pages: no-break spaces, typographic apostrophes, one language."""

import re
from html import unescape

import pytest
from flask import Flask, render_template_string
from flask.testing import FlaskClient

from idp import languages
from idp.web.i18n import french_spacing
from tests.activation.steps import activate
from tests.builders import Build
from tests.email_confirmation.post import html_of, post_office, text_of
from tests.web.tour import tour

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


def test_an_unknown_language_gives_french(browser: FlaskClient) -> None:
    for wish in ("de", "he", "tlh", "fr-FR-u-x", "x" * 200, "-", "en_US.UTF-8", "fr fr fr", "\x00"):
        page = browser.get("/connexion", query_string={"ui_locales": wish}, headers={"Accept-Language": "de"})
        assert '<html lang="fr" dir="ltr">' in page.text
