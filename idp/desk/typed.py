"""What people type: the words of a search, a day, a sentence that the journal keeps."""

from datetime import date, datetime

from flask import request

from idp.operations import reasons

LONGEST_SEARCH = 100
_FORMATS = ("%Y-%m-%d", "%d/%m/%Y")


def search_words() -> str:
    """Return the words of the search `q` in the URL, with single spaces."""
    return one_line(request.args.get("q", "")[:LONGEST_SEARCH])


def day(text: str) -> date | None:
    """Return a typed day, or None if it is not a date. A browser sends ISO, people write « 31/12/2026 »."""
    for form in _FORMATS:
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007 - a day has no time zone
        except ValueError:
            continue
    return None


def one_line(text: str | None) -> str:
    """Return a text on one line, with single spaces and without characters that cannot be printed."""
    return " ".join("".join(c for c in text or "" if c.isprintable() or c.isspace()).split())


def is_sentence(text: str) -> bool:
    """Return whether a text that `one_line` returned is long enough to say something."""
    return len(text) >= reasons.SHORTEST
