"""Texts, dates and waiting times in the language of a page or mail."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

from babel import Locale
from babel.dates import format_date, get_day_names
from flask import Flask
from flask_babel import Babel, get_locale, get_translations, gettext, gettext as _, ngettext
from markupsafe import Markup

from idp import languages
from idp.clock import PARIS, day_of, now
from idp.config import OpeningHours, read_hours
from idp.languages import SOURCE
from idp.paths import TRANSLATIONS
from idp.web import languages as web_languages

_MINUTE = 60
_HOUR = 3600
_DAY = 86_400
# The numbers that a countdown shows: seconds below two minutes, and minutes, which are seldom more.
_COUNTED = range(1, 120)


def in_words(wait: int | timedelta) -> str:
    """Return a time in the page's language, rounded up: « 40 secondes », « 12 minutes », « 3 heures », « 7 jours »."""
    seconds = wait if isinstance(wait, int) else math.ceil(wait.total_seconds())
    if seconds < 2 * _MINUTE:
        return str(ngettext("une seconde", "%(num)s secondes", max(1, seconds)))
    if seconds < 2 * _HOUR:
        minutes = math.ceil(seconds / _MINUTE)
        return str(ngettext("une minute", "%(num)s minutes", minutes))
    if seconds < 2 * _DAY:
        return str(ngettext("une heure", "%(num)s heures", math.ceil(seconds / _HOUR)))
    return str(ngettext("%(num)s jour", "%(num)s jours", math.ceil(seconds / _DAY)))


@lru_cache(maxsize=64)  # a language and a least number take a millisecond, half of the page of an overloaded service
def _examples(locale: Locale, least: int) -> tuple[tuple[str, int], ...]:
    """Return the plural categories that occur from `least` on, each with its first number."""
    first: dict[str, int] = {}
    for number in _COUNTED[least - 1 :]:
        first.setdefault(locale.plural_form(number), number)
    return tuple(first.items())


@dataclass(frozen=True)
class Plurals:
    """A text that holds a number as `{n}`, in each plural form of a language (CLDR plural rules), by `form`."""

    locale: Locale
    form: Callable[[int], str]

    def of(self, number: int) -> Markup:
        """Return the text with a number in it."""
        return Markup(self.form(number).replace("{n}", str(number)))  # noqa: S704 - the texts are ours, or of our catalogues

    def attributes(self, name: str, *, least: int = 1) -> Markup:
        """Return the forms as attributes of an element, for the countdown in `enhance.js`.

        `data-<name>` is the form for most numbers. Each other category of `Intl.PluralRules` that occurs from `least`
        on has one that is named after it: `data-few` beside `data-text`, `data-minutes-few` beside `data-minutes`.
        """
        forms = {
            category: self.form(number).replace('"', "&quot;") for category, number in _examples(self.locale, least)
        }
        usual = forms.pop("other", "") or forms.pop("many")
        named = {name: usual}
        named |= {category if name == "text" else f"{name}-{category}": text for category, text in forms.items()}
        return Markup("".join(f' data-{key}="{text}"' for key, text in named.items()))  # noqa: S704 - as above


_NO_BREAK = "\u00a0"
_BEFORE = re.compile(r" ([:;?!»%])(?!\()")
babel = Babel()


def french_spacing(text: str) -> str:
    """Put no-break spaces before : ; ? ! » and %, and after «. A `%` that begins a placeholder stays.

    A `Markup` stays one, so that the page does not escape its names again.
    """
    spaced = _BEFORE.sub(_NO_BREAK + r"\1", text.replace("« ", "«" + _NO_BREAK))
    return Markup(spaced) if isinstance(text, Markup) else spaced  # noqa: S704 - it was one before


def spacing(text: str) -> str:
    """Return `text` with `french_spacing` if the page is in French; translators write the spaces of their language."""
    return french_spacing(text) if language() == SOURCE else text


def _gettext(message: str) -> str:
    return spacing(get_translations().ugettext(message))


def _ngettext(singular: str, plural: str, n: int) -> str:
    """Return a plural form without its values, which Jinja puts in."""
    return spacing(get_translations().ungettext(singular, plural, n))


def _plurals(singular: str, plural: str) -> Plurals:
    return Plurals(get_locale() or Locale(SOURCE), lambda n: _ngettext(singular, plural, n))


def language() -> str:
    """Return the language of the page or mail, as a BCP 47 tag."""
    return str(get_locale() or SOURCE).replace("_", "-")


def _locale() -> str:
    return languages.locale_name(web_languages.choose_language())


def day(instant: datetime | date) -> str:
    """Return a day, or the day of an instant in Paris: « 24 novembre 2026 »."""
    local = day_of(instant) if isinstance(instant, datetime) else instant
    own = language()
    if own == SOURCE:
        text = format_date(local, "d MMMM y", locale=SOURCE)
        return text.replace("1 ", "1er ", 1) if local.day == 1 else text
    pattern = "d MMMM y" if own == "en" else "long"  # the plain English of Babel is that of the United States
    return format_date(local, pattern, locale=languages.locale_name(own))


def hour(instant: datetime | time) -> str:
    """Return a time of day, or that of an instant in Paris: « 20 h 42 », in other languages 20:42."""
    local = instant.astimezone(PARIS) if isinstance(instant, datetime) else instant
    if language() == SOURCE:
        return f"{local.hour}{_NO_BREAK}h{_NO_BREAK}{local.minute:02d}"
    return f"{local.hour:02d}:{local.minute:02d}"


def opening_hours(text: str) -> str:
    """Return « du lundi au vendredi, de 8 h à 18 h » for `Mo-Fr 08:00-18:00`, and any other text as it is."""
    rule = read_hours(text)
    return spacing(_hours_sentence(rule)) if rule else text


def _hours_sentence(rule: OpeningHours) -> str:
    locale = languages.locale_name(language())
    names = get_day_names("wide", "format", locale)
    days = [names[day] for day in rule.days]
    values = dict(zip(("opens", "closes", "reopens", "ends"), map(_short_hour, rule.times), strict=False))
    values |= {"first": days[0], "last": days[-1], "days": "" if rule.is_span else _listed(days, locale)}
    match rule.is_span, "ends" in values:
        case True, True:
            text = _("du %(first)s au %(last)s, de %(opens)s à %(closes)s et de %(reopens)s à %(ends)s", **values)
        case True, False:
            text = _("du %(first)s au %(last)s, de %(opens)s à %(closes)s", **values)
        case False, True:
            text = _("%(days)s, de %(opens)s à %(closes)s et de %(reopens)s à %(ends)s", **values)
        case _:
            text = _("%(days)s, de %(opens)s à %(closes)s", **values)
    return str(text)


def _listed(words: list[str], locale: str) -> str:
    from babel.lists import format_list  # noqa: PLC0415 - needed for single days alone

    return format_list(words, locale=locale)


def _short_hour(at: time) -> str:
    return hour(at).removesuffix("\u00a000")


def left_to_right(text: str) -> str:
    """Return a telephone number or French words so that they keep their direction in a text from right to left.

    Plain texts need it; a page has an element with a direction. Numbers with spaces would change their order.
    """
    return f"\u2066{text}\u2069" if text and languages.direction(language()) == "rtl" else text


def isolated(name: str) -> str:
    """Return a name so that the signs beside it stay where they are in a text from right to left: « Noémie L., »."""
    return f"\u2068{name}\u2069" if name and languages.direction(language()) == "rtl" else name


def configure(app: Flask, *, french_only: bool = False) -> None:
    """Configure the languages of `app`, and the template filters for dates.

    Args:
        app: the application.
        french_only: whether all pages are in French, as the desk's are.
    """
    app.config.setdefault("BABEL_TRANSLATION_DIRECTORIES", str(TRANSLATIONS))
    app.config.setdefault("BABEL_DEFAULT_LOCALE", SOURCE)
    babel.init_app(app, locale_selector=(lambda: SOURCE) if french_only else _locale)
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(_gettext, _ngettext, newstyle=True)  # type: ignore[attr-defined]
    app.jinja_env.filters.update(
        day=day, hour=hour, spacing=spacing, ltr=left_to_right, isolated=isolated, waiting=in_words
    )
    app.jinja_env.globals.update(plurals=_plurals, language_url=web_languages.url)
    if not french_only:
        web_languages.configure(app)

    @app.context_processor
    def shown() -> dict[str, Any]:
        own = language()
        return {
            "locale": own,
            "direction": languages.direction(own),
            "languages": [] if french_only else [(code, languages.OWN_NAMES[code]) for code in languages.OFFERED],
        }


def instant_in_words(instant: datetime) -> str:
    """Return `instant` in words, in the reader's language and in the time of Paris."""
    moment = now()
    if day(instant) == day(moment):
        return str(gettext("aujourd’hui à %(hour)s", hour=hour(instant)))
    if day(instant) == day(moment - timedelta(days=1)):
        return str(gettext("hier à %(hour)s", hour=hour(instant)))
    return str(gettext("le %(day)s à %(hour)s", day=day(instant), hour=hour(instant)))
