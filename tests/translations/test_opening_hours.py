"""The opening hours of the help line: read from a notation, and written in each language."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_babel import force_locale

from idp.config import rules
from idp.languages import locale_name
from idp.web import i18n
from tests.rows import each_row


@pytest.fixture(scope="module")
def application() -> Flask:
    app = Flask(__name__)
    i18n.configure(app)
    return app


@each_row(
    ("language", "text", "words"),
    [
        ("fr", "Mo-Fr 08:00-18:00", "du lundi au vendredi, de 8 h à 18 h"),
        ("fr", "Mo-Fr 08:30-12:00,13:00-17:30", "du lundi au vendredi, de 8 h 30 à 12 h et de 13 h à 17 h 30"),
        ("fr", "Mo,Tu,Th 09:00-12:00", "lundi, mardi et jeudi, de 9 h à 12 h"),
        ("fr", "tous les matins", "tous les matins"),
        ("en", "Mo-Fr 08:00-18:00", "Monday to Friday, from 08:00 to 18:00"),
        ("en", "We 08:00-12:00", "Wednesday, from 08:00 to 12:00"),
        ("ar", "Mo-Fr 08:00-18:00", "من الاثنين إلى الجمعة، من الساعة 08:00 إلى 18:00"),
        ("es", "Mo,We 08:00-12:00,14:00-18:00", "lunes y miércoles, de 08:00 a 12:00 y de 14:00 a 18:00"),
        ("zh-Hans", "Mo-Fr 08:00-18:00", "星期一至星期五，08:00 至 18:00"),
        ("zh-Hans", "tous les matins", "tous les matins"),
    ],
)
def test_hours_are_written_in_the_language_of_the_reader(
    application: Flask, language: str, text: str, words: str
) -> None:
    with application.test_request_context(), force_locale(locale_name(language)):
        assert i18n.opening_hours(text).replace("\u00a0", " ") == words


@each_row(
    ("language", "words"),
    [
        ("fr", "Assistance aux familles : 03 53 01 12 12, du lundi au vendredi, de 8 h à 18 h."),
        ("ar", "خدمة مساعدة الأسر: 03 53 01 12 12، من الاثنين إلى الجمعة، من الساعة 08:00 إلى 18:00."),
        ("zh-Hans", "家庭客服：03 53 01 12 12（星期一至星期五，08:00 至 18:00）。"),
    ],
)
def test_the_help_line_has_the_signs_of_the_language(browser: FlaskClient, language: str, words: str) -> None:
    page = browser.get("/connexion", headers={"Accept-Language": language}).text
    assert words in re.sub(r"\s+", " ", re.sub("<[^>]+>", "", page))


@pytest.mark.parametrize(
    "text",
    [
        *("Mo-Fr", "Mo-Fr 8:00-18:00", "Mo-Fr 08:00-25:00", "Mo-Fr 18:00-08:00", "Mo-Fr 08:00-18:00; Sa 09:00-12:00"),
        *("Fr-Mo 08:00-18:00", "Mo,Mo 08:00-18:00", "Mo-Fr 08:00-12:00,11:00-18:00", "Su off"),
    ],
)
def test_a_broken_notation_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Mo-Fr 08:00-18:00"):
        rules.check_hours(text)


@pytest.mark.parametrize("text", ["", "Mo-Fr 08:00-18:00", "du lundi au vendredi, de 8 h à 18 h", "Tous les matins"])
def test_the_notation_and_free_texts_are_accepted(text: str) -> None:
    assert rules.check_hours(text) == text
