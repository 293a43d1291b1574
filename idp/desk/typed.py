"""What people type: the words of a search, a day, a telephone number, a sentence that the journal keeps."""

import re
from datetime import date, datetime

from flask import request

from idp.operations import reasons

LONGEST_SEARCH = 100
_FORMATS = ("%Y-%m-%d", "%d/%m/%Y")
_BETWEEN_DIGITS = re.compile(r"[\s.\-]")
_PHONE = re.compile(
    r"0[1-9]\d{8}"  # as France dials it, the overseas departments too
    r"|(\+|00)33(\(0\))?[1-9]\d{8}"
    r"|(\+|00)(262|590|594|596)(\(0\))?\d{9}"
    r"|(\+|00)508\d{6,9}"  # Saint-Pierre-et-Miquelon
    r"|(\+|00)(681|687)\d{6}"  # Wallis-et-Futuna, Nouvelle-Calédonie
    r"|(\+|00)689\d{8}",  # Polynésie française
    re.ASCII,
)


def search_words() -> str:
    """Return the words of the search `q` in the URL, with single spaces."""
    return one_line(request.args.get("q", "")[:LONGEST_SEARCH])


def school_words() -> str:
    """Return the name or number of a school, `ecole` in the URL, with single spaces."""
    return one_line(request.args.get("ecole", "")[:LONGEST_SEARCH])


def day(text: str) -> date | None:
    """Return a typed day, or None if it is not a date. A browser sends ISO, people write « 31/12/2026 »."""
    for form in _FORMATS:
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007 - a day has no time zone
        except ValueError:
            continue
    return None


def is_phone(text: str) -> bool:
    """Return whether a text is a telephone number of France or its overseas territories, with spaces or without."""
    return _PHONE.fullmatch(_BETWEEN_DIGITS.sub("", text)) is not None


def one_line(text: str | None) -> str:
    """Return a text on one line, with single spaces and without characters that cannot be printed."""
    return " ".join("".join(c for c in text or "" if c.isprintable() or c.isspace()).split())


def is_sentence(text: str) -> bool:
    """Return whether a text that `one_line` returned is long enough to say something."""
    return len(text) >= reasons.SHORTEST
