"""Formats waiting times, also for the script that counts them down."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from babel import Locale
from flask_babel import ngettext
from markupsafe import Markup

_MINUTE = 60
_HOUR = 3600
_COUNTED = range(1, 120)
"""The numbers that a countdown shows: seconds below two minutes, and minutes, which are seldom more."""


def in_words(seconds: int) -> str:
    """Return a waiting time in the page's language, rounded up: « 40 secondes », « 12 minutes », « 3 heures »."""
    if seconds < 2 * _MINUTE:
        return str(ngettext("une seconde", "%(num)s secondes", max(1, seconds)))
    if seconds < 2 * _HOUR:
        minutes = math.ceil(seconds / _MINUTE)
        return str(ngettext("une minute", "%(num)s minutes", minutes))
    hours = math.ceil(seconds / _HOUR)
    return str(ngettext("une heure", "%(num)s heures", hours))


@lru_cache(maxsize=64)  # a language and a least number take a millisecond, half of the page of an overloaded service
def _examples(locale: Locale, least: int) -> tuple[tuple[str, int], ...]:
    """Return the plural categories that occur from `least` on, each with its first number."""
    first: dict[str, int] = {}
    for number in _COUNTED[least - 1 :]:
        first.setdefault(locale.plural_form(number), number)
    return tuple(first.items())


@dataclass(frozen=True)
class Plurals:
    """A text that holds a number as `{n}`, in each plural form that the language has (CLDR plural rules).

    Attributes:
        locale: the language.
        form: returns the text for a number, with `{n}` in place of the number.
    """

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
