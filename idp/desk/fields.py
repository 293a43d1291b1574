"""What people type at the desk: the fields of its forms, and the words, days and numbers that are read from them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from flask import request
from flask_babel import gettext, lazy_gettext as _l
from wtforms import Field, StringField

from idp.folding import fold
from idp.operations import reasons
from idp.web.forms import PlainField


class ChoiceField(StringField):  # type: ignore[misc]
    """One of the `options`, which the view sets; any other value is kept as an empty text."""

    options: Sequence[tuple[str, str]] = ()

    def process_formdata(self, valuelist: list[str]) -> None:
        """Keep a short text; `chosen` compares it with the options."""
        self.data = valuelist[0][:100] if valuelist else ""

    @property
    def chosen(self) -> str:
        """The value if it is among the options, else an empty text."""
        return self.data if any(value == self.data for value, _ in self.options) else ""

    @property
    def listed(self) -> list[dict[str, str]]:
        """The options for a list of which all are in view."""
        return [{"value": value, "title": label, "sentence": ""} for value, label in self.options]

    def iter_options(self) -> Iterator[tuple[str, str, bool]]:
        """Yield each option with its label, and whether it is chosen."""
        yield from ((value, label, value == self.data) for value, label in self.options)


class TickField(Field):  # type: ignore[misc]
    """Some of the `options`, in their order; None if the request has no field of this name.

    Browsers send nothing for a list without a tick, so that the page sends an empty value too.
    """

    def __init__(self, *args: Any, options: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.options = options
        self.data: list[str] | None = None
        self._has_others = False

    def process_formdata(self, valuelist: list[str]) -> None:
        """Keep the values that are options; `are_options` says whether all of them are."""
        if valuelist:
            self.data = [value for value in self.options if value in valuelist]
            self._has_others = any(value and value not in self.options for value in valuelist)

    def are_options(self) -> bool:
        """Return whether the request has no other value; put an error beside the field otherwise."""
        if self._has_others:
            self.errors = [gettext("Un choix n’est pas dans la liste. Choisissez de nouveau.")]
        return not self._has_others


class AreaField(PlainField):
    """A text of several lines, at most `longest` characters."""

    def __init__(self, *args: Any, longest: int = 4000, **kwargs: Any) -> None:
        super().__init__(*args, longest=longest, **kwargs)

    @property
    def lines(self) -> list[str]:
        """The lines with a text, without blanks around them."""
        return [text for line in (self.data or "").splitlines() if (text := line.strip())]


class ReasonField(PlainField):
    """Why a person does something, on one line; `missing` is the error if there are too few words."""

    def __init__(self, *args: Any, missing: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.missing = missing

    @property
    def text(self) -> str:
        """The words, with single spaces."""
        return one_line(self.data)

    def is_given(self) -> bool:
        """Return whether there are enough words; put an error beside the field otherwise."""
        if is_sentence(self.text):
            return True
        self.errors = [self.missing]
        return False


class WordField(PlainField):
    """A word that a person types to confirm an act that changes much or cannot be undone."""

    def __init__(self, word: str, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label", _l("Tapez %(word)s pour confirmer", word=word))
        super().__init__(*args, longest=30, **kwargs)
        self.word = word

    def is_typed(self) -> bool:
        """Return whether the word was typed, in capitals or not; put an error beside the field otherwise."""
        if fold(self.data or "").upper() == self.word:
            return True
        self.errors = [gettext("Tapez le mot %(word)s pour confirmer.", word=self.word)]
        return False


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


def searched(name: str) -> str:
    """Return the words of a search in the URL, with single spaces: the parameter `q`, or `ecole` for a school."""
    return one_line(request.args.get(name, "")[:LONGEST_SEARCH])


def key(text: object) -> UUID | None:
    """Return the key that a text is, or None."""
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None


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
