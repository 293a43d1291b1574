"""Instants in words: « aujourd’hui à 20 h 40 », « hier à 18 h 05 », « le 12 novembre 2026 à 7 h 52 »."""

from datetime import datetime, timedelta

from flask_babel import gettext

from idp.clock import now
from idp.web.i18n import day, hour


def instant_in_words(instant: datetime) -> str:
    """Return `instant` in words, in the reader's language and in the time of Paris."""
    moment = now()
    if day(instant) == day(moment):
        return str(gettext("aujourd’hui à %(hour)s", hour=hour(instant)))
    if day(instant) == day(moment - timedelta(days=1)):
        return str(gettext("hier à %(hour)s", hour=hour(instant)))
    return str(gettext("le %(day)s à %(hour)s", day=day(instant), hour=hour(instant)))
