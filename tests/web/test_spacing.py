"""French typography on pages: no-break spaces, typographic apostrophes, one language."""

import re
from html import unescape

from flask import Flask
from flask.testing import FlaskClient

from idp.web.i18n import french_spacing
from tests.activation.steps import activate
from tests.builders import Build
from tests.email_confirmation.post import html_of, post_office, text_of
from tests.web.tour import pages

_LOOSE = re.compile(r"[^\s] [:;?!»%]|« |\w'\w")
_UNSPACED = re.compile(r"[a-zàâçéèêëîïôûùüÿœ][;?!»]|[a-zéè]:(?!/)|«\w")


def _words(html: str) -> str:
    body = re.sub(r"<(script|style|svg|code)\b.*?</\1>", "", html[html.index("<title") :], flags=re.DOTALL)
    return unescape(re.sub(r"<[^>]*>", " ", body).replace("\n", " "))


def test_every_page_spaces_its_punctuation_as_french_does(app: Flask, build: Build) -> None:
    for name, page in pages(app, build):
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


def test_an_unknown_language_gives_french(browser: FlaskClient) -> None:
    for wish in ("en", "ar", "tlh", "fr-FR-u-x", "x" * 200, "-", "en_US.UTF-8", "fr fr fr", "\x00"):
        page = browser.get("/connexion", query_string={"ui_locales": wish}, headers={"Accept-Language": "de"})
        assert '<html lang="fr" dir="ltr">' in page.text
