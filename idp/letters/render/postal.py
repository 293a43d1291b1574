"""Formats postal addresses for the window of an envelope (AFNOR NF Z10-011): capitals, six lines of 38 characters.

No part of an address is left out. What is longer than the standard wraps, then shrinks to `_FLOOR`; an address that has
no room even then is not printed at all.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from idp.letters.render.glyphs import printable, width

COLUMNS = 38
_WIDTH = 84 / 25.4 * 72  # points; the window has 85 mm
_FLOOR = 8.0  # points; smaller capitals are hard to read. The letter and the slips have the same floor for names
_SIZES = {10.0: 6, 9.0: 6, _FLOOR: 8}
"""The type sizes in points, and the number of lines that 23 mm hold at each."""
_LIGATURES = str.maketrans({"Œ": "OE", "Æ": "AE"})
_PUNCTUATION = ("P", "S")
_PARTS = re.compile(r"[^ \-]*-+|[^ \-]+| +")


class AddressBlock(NamedTuple):
    """The lines as printed, and their type size in points."""

    rows: Sequence[str]
    size: float


def address_block(lines: Iterable[str]) -> AddressBlock | None:
    """Return `lines`, from the name to the town, as printed in the window; None if they have no room there.

    Latin letters have no accents, the last line no punctuation. Lines wrap at spaces and hyphens; words longer than a
    line are divided at the smallest size only.
    """
    whole = [line for line in map(_capitals, lines) if line]
    if len(whole) > 1:
        whole[-1] = _without_punctuation(whole[-1]) or whole[-1]
    ways = [(size, COLUMNS, False) for size in _SIZES] + [(_FLOOR, len(max(whole, key=len, default="")), True)]
    for size, columns, may_divide in ways:
        rows = _wrap(whole, size, columns, may_divide=may_divide)
        if rows is not None and len(rows) <= _SIZES[size]:
            return AddressBlock(rows, size)
    return None


def _wrap(lines: Iterable[str], size: float, columns: int, *, may_divide: bool) -> list[str] | None:
    rows: list[str] = []
    for line in lines:
        row = ""
        for part in _PARTS.findall(line):
            if _fits(row + part, size, columns):
                row += part
                continue
            is_longer = not _fits(part, size, columns)
            if is_longer and not may_divide:
                return None
            if not is_longer:
                rows.append(row)
                row = ""
            row += part
            while not _fits(row, size, columns):
                length = _longest(row, size, columns)
                rows.append(row[:length])
                row = row[length:]
        rows.append(row)
    return [row.strip() for row in rows if row.strip()]


def _fits(row: str, size: float, columns: int) -> bool:
    return len(row.strip()) <= columns and width(row.strip()) * size <= _WIDTH


def _longest(word: str, size: float, columns: int) -> int:
    """Return the length of the longest beginning of a word that fits, with the marks of its last letter."""
    length = next((length for length in range(len(word), 1, -1) if _fits(word[:length], size, columns)), 1)
    while length > 1 and length < len(word) and unicodedata.combining(word[length]):
        length -= 1
    return length


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
