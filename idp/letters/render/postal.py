"""Formats postal addresses for the French post (AFNOR NF Z10-011): six lines of 38 characters, in capitals."""

import textwrap
import unicodedata
from collections.abc import Iterable

from idp.letters.render.glyphs import printable

LINES = 6
COLUMNS = 38

_LIGATURES = str.maketrans({"Œ": "OE", "Æ": "AE"})
_PUNCTUATION = ("P", "S")


def address_block(lines: Iterable[str]) -> list[str]:
    """Return `lines`, from the name to the town, as printed in the window of the envelope.

    Latin letters have no accents, the last line no punctuation. Long lines are wrapped while there is room. Without
    room, the name (two lines at most), the town and the lines nearest to the town are kept: the postman needs these.
    """
    rows = _rows(lines)
    if not rows:
        return []
    rows[-1] = rows[-1][:1] if len(rows) > 1 else rows[-1]
    below = LINES - min(2, len(rows[0]))
    rows = [rows[0], *rows[1:][-below:]]
    room = LINES - len(rows)
    printed: list[str] = []
    for row in rows:
        more = min(room, len(row) - 1)
        printed += row[: 1 + more]
        room -= more
    return printed


def is_cut(lines: Iterable[str]) -> bool:
    """Return whether `address_block` leaves out a part of the lines, which a long address has."""
    rows = list(lines)
    whole = "".join(line for row in _rows(rows) for line in row)
    return "".join(address_block(rows)) != whole


def _rows(lines: Iterable[str]) -> list[list[str]]:
    """Return the lines as printed, each wrapped; the last one, if there are several, without punctuation."""
    rows = [textwrap.wrap(line, COLUMNS) for line in (_capitals(line) for line in lines) if line]
    if len(rows) > 1:
        rows[-1] = textwrap.wrap(_without_punctuation(" ".join(rows[-1])), COLUMNS) or rows[-1]
    return rows


def _capitals(line: str) -> str:
    """Return `line` in capitals, without accents on Latin letters; in other scripts, marks are part of the letter."""
    letters: list[str] = []
    latin = False
    for char in unicodedata.normalize("NFD", line.upper().translate(_LIGATURES)):
        if not unicodedata.combining(char):
            latin = unicodedata.name(char, "").startswith("LATIN")
        elif latin:
            continue
        letters.append(char)
    return printable("".join(letters))


def _without_punctuation(line: str) -> str:
    return " ".join("".join(" " if unicodedata.category(char)[0] in _PUNCTUATION else char for char in line).split())
