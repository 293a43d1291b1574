"""Fields of the desk's forms: a choice of a list, several of a list, a text of several lines, a word that confirms."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from wtforms import Field, StringField

from idp.folding import fold
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
