"""Formats waiting times."""

import math

from flask_babel import ngettext

_MINUTE = 60
_HOUR = 3600


def in_words(seconds: int) -> str:
    """Return a waiting time in the page's language, rounded up: « 40 secondes », « 12 minutes », « 3 heures »."""
    if seconds < 2 * _MINUTE:
        return str(ngettext("une seconde", "%(num)s secondes", max(1, seconds)))
    if seconds < 2 * _HOUR:
        minutes = math.ceil(seconds / _MINUTE)
        return str(ngettext("une minute", "%(num)s minutes", minutes))
    hours = math.ceil(seconds / _HOUR)
    return str(ngettext("une heure", "%(num)s heures", hours))
