"""The catalogues of idp/translations/, and the opening hours of the help line in each language."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from gettext import c2py

import pytest
from babel import Locale
from babel.messages import Catalog, Message
from flask import Flask
from flask.testing import FlaskClient
from flask_babel import force_locale

from idp import languages
from idp.config import rules
from idp.languages import locale_name
from idp.paths import TRANSLATIONS
from idp.web import i18n
from tests import catalogues
from tests.letters.read_back import TEXTS
from tests.rows import each_row

_PLACEHOLDER = re.compile(r"%\(\w+\)s|\{\w+\}|%%")
_TAG = re.compile(r"</?\w[^<>]*>|&(?!nbsp;)\w+;")
_QUOTED = re.compile(r"« ?([^«»]+?) ?»")
_BUTTON_OF_LETTER = re.compile(r"\*([^*]+)\*\s?« ([^»]+) »")
_BUTTONS = {
    *("Se connecter", "Parent", "Valider", "Continuer", "Confirmer"),
    "Je ne suis pas le représentant légal de cet élève",
}
"""The buttons that a letter names, in French and in its own language."""
_REJECTED = {
    "en": r"\btouch|for safety|(?:is this|is it|was it) not|did you not",
    "ar": r"\bالمس\b|\bبدون\b|مرورك|مروري|لم يضع",
    "tr": r"cevap|cevab|oturum açın|sözcük|değil mi|yapmadınız mı|yazdırır",
    "pt": r"estudante|pai ou mãe|bom dia|trata de si",
    "es": r"\btoque|colegio|estudiante|buenos días",
    "uk": r"торкн|керівництв|відключ|застар|[Вв]иберіть (?:\w+ )?пароль",
    "ro": r"\bating|căsuța pentru|pentru siguranță",
    "zh-Hans": r"激活|点按|账号|秘书|教职工|选择(?:新|另一个)?密码",
}
"""Words for which letters and pages have another one, or that a reader misunderstands (docs/traduire.md)."""
_UKRAINIAN_EMAIL = re.compile(r"(?<!аперові )(?<!аперов\w\w )(?<!аперов\w{3} )\b[Лл]ист(?:а|і|ом|и)?\b(?! від школи)")
_NUMBER = {"%(num)s", "{n}"}
_SAME_AS_FRENCH = {
    # Names, codes and punctuation: what no language writes otherwise.
    "%(name)s : %(username)s",
    '%(name)s : <strong style="font-size:19px">%(username)s</strong>',
    "%(what)s : %(result)s",
    '%(school)s : <a class="tel" dir="ltr" href="%(url)s">%(phone)s</a>',
    "%(day)s à %(hour)s",
}
_SAME_IN = {
    # Words that a language writes as French does, looked at one by one.
    "en": {"Parent", "Contact", "une minute", "%(num)s minutes"},
    "ro": {"Contact"},
}
_LOCALES = catalogues.locales()


@cache
def catalogue(locale: str) -> Catalog:
    return catalogues.read(catalogues.path_of(locale), locale)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The texts of the code and the templates, as they are now."""
    template = tmp_path_factory.mktemp("source") / "messages.pot"
    catalogues.extract(template)
    return catalogues.read(template)


def messages(locale: str) -> Iterator[Message]:
    return (message for message in catalogue(locale) if message.id)


def forms(text: str | tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text or ())


def is_translated(message: Message) -> bool:
    return all(forms(message.string))


def name_of(message: Message) -> str:
    return forms(message.id)[-1][:70]


def test_there_is_a_catalogue_for_each_language_and_no_other() -> None:
    assert {path.name for path in TRANSLATIONS.iterdir() if path.is_dir()} == set(_LOCALES)
    assert [locale for locale in _LOCALES if str(Locale.parse(locale)) != locale] == []
    assert set(languages.OFFERED) <= set(languages.OWN_NAMES)


@each_row("locale", _LOCALES)
def test_the_catalogue_has_the_texts_of_the_source(source: Catalog, locale: str) -> None:
    """If it fails: `make translations`, then translate what is new."""
    assert {forms(message.id) for message in messages(locale)} == {forms(m.id) for m in source if m.id}


def test_a_language_that_is_offered_has_every_text() -> None:
    offered = [languages.locale_name(language) for language in languages.OFFERED if language != languages.SOURCE]
    assert [(locale, name_of(m)) for locale in offered for m in messages(locale) if not is_translated(m)] == []


@each_row("locale", _LOCALES)
def test_no_text_is_fuzzy_or_obsolete(locale: str) -> None:
    assert [name_of(message) for message in messages(locale) if message.fuzzy] == []
    assert not catalogue(locale).obsolete


@each_row("locale", _LOCALES)
def test_no_text_is_left_in_french(locale: str) -> None:
    allowed = _SAME_AS_FRENCH | _SAME_IN.get(locale, set())
    same = (m for m in messages(locale) if set(forms(m.string)) & set(forms(m.id)) - {""})
    assert [name_of(message) for message in same if not set(forms(message.id)) <= allowed] == []


@each_row("locale", _LOCALES)
def test_placeholders_and_tags_are_those_of_the_source(locale: str) -> None:
    assert list(_changed(catalogue(locale))) == []


@each_row("locale", _LOCALES)
def test_a_plural_form_for_several_numbers_says_the_number(locale: str) -> None:
    assert list(_without_number(catalogue(locale))) == []


@each_row("locale", _LOCALES)
def test_a_button_is_quoted_by_its_name(locale: str) -> None:
    names = {m.id: m.string for m in messages(locale) if isinstance(m.id, str) and isinstance(m.string, str)}
    wrong = [
        f"{text[:50]} … {quoted}"
        for text, translated in names.items()
        for quoted in _QUOTED.findall(text)
        if translated and names.get(quoted) and names[quoted] not in translated
    ]
    assert wrong == []


@each_row("language", list(languages.OF_LETTERS))
def test_a_letter_names_buttons_and_fields_as_the_pages_do(language: str) -> None:
    names = {m.id: str(m.string) for m in messages(languages.locale_name(language)) if isinstance(m.id, str)}
    letter = TEXTS[language]
    steps = [*letter["steps"], letter["wrong"]]
    buttons = [button for text in steps for button in _BUTTON_OF_LETTER.findall(text)]
    assert {french for _, french in buttons} == _BUTTONS
    assert [(own, french) for own, french in buttons if own != names[french]] == []
    assert len({names[french] for french in ("Valider", "Continuer", "Confirmer")}) == 3
    for step, french in ((1, "Identifiant"), (1, "Mot de passe provisoire"), (2, "Adresse mail"), (4, "C’est activé")):
        stems = [word[:5] for word in names[french].lower().split()]  # a sentence inflects the words
        assert [stem for stem in stems if stem not in steps[step].lower()] == [], steps[step]
    office = re.sub(r"^ال|^(?:the|a|la) ", "", names["Le secrétariat"].lower())[:11]
    assert office in letter["lost"].lower()


@each_row("language", list(languages.OF_LETTERS))
def test_letters_and_pages_have_one_word_for_one_thing(language: str) -> None:
    pages = [text for message in messages(languages.locale_name(language)) for text in forms(message.string)]
    rejected = re.compile(_REJECTED[language], re.IGNORECASE)
    assert [text for text in (*pages, str(TEXTS[language])) if rejected.search(text)] == []


def test_pages_tell_the_letter_on_paper_from_an_email() -> None:
    pages = [text for message in messages("uk") for text in forms(message.string)]
    assert [text for text in pages if _UKRAINIAN_EMAIL.search(text)] == []


def test_the_arabic_letter_names_the_office_as_the_pages_do() -> None:
    assert "إدارة" not in str(TEXTS["ar"])


@each_row("locale", [locale for locale in _LOCALES if locale != languages.SOURCE])
def test_the_button_of_an_ent_is_named_in_french_too(locale: str) -> None:
    sent_back = [
        message for message in messages(locale) if re.search("touchez « Se connecter »", str(message.id), re.IGNORECASE)
    ]
    assert len(sent_back) == 5
    assert [message.string for message in sent_back if "Se connecter" not in str(message.string)] == []


def test_letters_have_each_language_that_the_pages_have() -> None:
    assert set(languages.OF_LETTERS) == set(languages.OFFERED) - {languages.SOURCE}


def test_the_checks_find_what_they_look_for() -> None:
    catalog = Catalog("uk")
    catalog.add("Il reste %(num)s <b>jour</b>", string="Залишилося <b>%(num)s день</b>")
    catalog.add("Pour %(name)s", string="Для %(nom)s")
    catalog.add("<b>Oui</b>", string="Так")
    catalog.add(("une heure", "%(num)s heures"), string=("година", "%(num)s години", "%(num)s годин"))
    assert [text for text, _ in _changed(catalog)] == ["Pour %(name)s", "<b>Oui</b>"]
    assert list(_without_number(catalog)) == [("%(num)s heures", 0)]


def _parts(message: Message, text: str) -> Counter[str]:
    """Return the placeholders and tags of a text; of plural forms without the number, which is looked at below."""
    parts = Counter([*_PLACEHOLDER.findall(text), *_TAG.findall(text)])
    return parts - Counter({number: parts[number] for number in _NUMBER if message.pluralizable})


def _changed(catalog: Catalog) -> Iterator[tuple[str, str]]:
    """Yield each translation whose placeholders or tags are not those of its source."""
    for message in (message for message in catalog if message.id):
        expected = [_parts(message, text) for text in forms(message.id)]
        for text in filter(None, forms(message.string)):
            stray = '"' in _TAG.sub("", text) or text != text.strip()
            if stray or _parts(message, text) not in expected:
                yield name_of(message), text


def _without_number(catalog: Catalog) -> Iterator[tuple[str, int]]:
    """Yield each plural form that is for several numbers and does not hold the number."""
    uses = Counter(map(c2py(catalog.plural_expr), range(201)))
    for message in (message for message in catalog if message.pluralizable):
        number = _NUMBER & set(_PLACEHOLDER.findall(message.id[1]))
        for index, text in enumerate(forms(message.string)):
            if text and uses[index] > 1 and not number <= set(_PLACEHOLDER.findall(text)):
                yield name_of(message), index


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
