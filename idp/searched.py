"""The folded words by which rows are searched: without accents, apostrophes and hyphens.

A field of several words is also there as one word: « D'ALMEIDA » gives `d almeida dalmeida`, which all spellings find.
The words are stored as a `tsvector`, whose index finds a word or the beginning of a word at once.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from sqlalchemy import Index, event, inspect
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import InstanceState, Mapped, mapped_column

from idp.folding import fold
from idp.personal import COPY

_WORD = re.compile(r"[^\W_]+")
_ORDINAL = re.compile(r"^(\d)i?eme")
_LONGEST_FIELD = 200


class Searched:
    """A table whose rows are found by the words of some columns. A bulk statement sets `search_text` by `text_of`."""

    searched_fields: ClassVar[tuple[str, ...]]

    search_text: Mapped[str] = mapped_column(TSVECTOR(), default="", info=COPY)

    @classmethod
    def text_of(cls, columns: Mapping[str, Any]) -> str:
        """Return the value of `search_text` for a row with these columns."""
        return _text(*(columns[name] or "" for name in cls.searched_fields))


def words_index(name: str) -> Index:
    """Return the index of the words of `search_text`."""
    return Index(name, "search_text", postgresql_using="gin")


def words(typed: str) -> list[str]:
    """Return the folded words of a text, « 6ème » as `6e`. The length that is read is limited."""
    return [_ORDINAL.sub(r"\1e", word) for word in _WORD.findall(fold(typed[:_LONGEST_FIELD]))]


def _text(*fields: str) -> str:
    seen: dict[str, None] = {}
    for field in fields:
        parts = words(field)
        seen.update(dict.fromkeys(parts))
        if len(parts) > 1:
            seen["".join(parts)] = None
    return " ".join(seen)


@event.listens_for(Searched, "before_insert", propagate=True)
@event.listens_for(Searched, "before_update", propagate=True)
def _keep_text(_mapper: Any, _connection: Any, row: Searched) -> None:
    state: InstanceState[Any] = inspect(row)
    if not state.persistent or any(state.attrs[name].history.has_changes() for name in row.searched_fields):
        row.search_text = _text(*(getattr(row, name) or "" for name in row.searched_fields))
