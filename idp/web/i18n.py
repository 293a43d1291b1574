"""Languages: French is the source. The choice: `ui_locales` (OpenID Connect Core 3.1.2.1), cookie, then browser."""

import re
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from flask import Flask, request
from flask_babel import Babel, get_locale, gettext, ngettext
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from idp.clock import PARIS, day_of
from idp.paths import TRANSLATIONS
from idp.web.http import current_request, has_request

LANGUAGES = ("fr",)
"""Languages with complete translations."""

_NO_BREAK = "\u00a0"
_BEFORE = re.compile(r" ([:;?!»%])(?!\()")
babel = Babel()


def french_spacing(text: str) -> str:
    """Put no-break spaces before : ; ? ! » and %, and after «. A `%` that begins a placeholder stays."""
    return _BEFORE.sub(_NO_BREAK + r"\1", text.replace("« ", "«" + _NO_BREAK))


def _gettext(message: str) -> str:
    text = gettext(message)
    return french_spacing(text) if _language() == "fr" else text


def _ngettext(singular: str, plural: str, n: int) -> str:
    text = ngettext(singular, plural, n)
    return french_spacing(text) if _language() == "fr" else text


def _language() -> str:
    return str(get_locale() or "fr").split("_", maxsplit=1)[0]


def choose_locale() -> str:
    """Return the preferred language of the request, or French."""
    if not has_request():
        return "fr"
    asking = current_request()
    requested = served(asking.arguments.get("ui_locales", "")) or served(asking.cookies.get("lang", ""))
    if requested:
        return requested
    return parse_accept_header(asking.header("Accept-Language"), LanguageAccept).best_match(LANGUAGES) or "fr"


def served(tags: str) -> str:
    """Return the first of `LANGUAGES` among `tags`, separated by spaces, or an empty string."""
    for tag in tags[:100].split():
        if tag.partition("-")[0].lower() not in LANGUAGES:  # Babel takes a quarter of a millisecond for each other one
            continue
        try:
            language = Locale.parse(tag, sep="-").language
        except (ValueError, UnknownLocaleError):
            continue
        if language in LANGUAGES:
            return language
    return ""


def _language_url(code: str) -> str:
    """Return the link to this page in another language; it keeps the other parameters."""
    return f"?{urlencode({**request.args.to_dict(), 'ui_locales': code})}"


def day(instant: datetime | date) -> str:
    """Return a day, or the day of an instant in Paris: « 24 novembre 2026 »."""
    local = day_of(instant) if isinstance(instant, datetime) else instant
    text = format_date(local, "d MMMM y", locale=_language())
    return text.replace("1 ", "1er ", 1) if local.day == 1 and _language() == "fr" else text


def hour(instant: datetime) -> str:
    """Return the time in Paris: « 20 h 42 »."""
    local = instant.astimezone(PARIS)
    return f"{local.hour}{_NO_BREAK}h{_NO_BREAK}{local.minute:02d}"


def configure(app: Flask) -> None:
    """Configure the languages of `app`, and the template filters for dates."""
    app.config.setdefault("BABEL_TRANSLATION_DIRECTORIES", str(TRANSLATIONS))
    app.config.setdefault("BABEL_DEFAULT_LOCALE", "fr")
    babel.init_app(app, locale_selector=choose_locale)
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(_gettext, _ngettext, newstyle=True)  # type: ignore[attr-defined]
    app.jinja_env.filters.update(day=day, hour=hour, spacing=french_spacing)

    @app.context_processor
    def languages() -> dict[str, Any]:
        locale = Locale.parse(_language())
        return {
            "locale": locale.language,
            "direction": locale.text_direction,
            "languages": [(code, (Locale.parse(code).display_name or code).capitalize()) for code in LANGUAGES],
            "language_url": _language_url,
        }
