"""Formats postal addresses for the window of an envelope (AFNOR NF Z10-011): capitals, six lines of 38 characters.

No part of an address is left out. What is longer than the standard wraps, then shrinks to `_FLOOR`; an address that has
no room even then is not printed at all.

Text is reduced to what the fonts of the letters can draw. PDF/UA-1 (ISO 14289-1, 7.21) forbids the glyph for a missing
character: one unknown character would refuse the whole batch. A person whose name or postal address has one gets no
letter; in the texts of the sender it is left out.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable, KeysView, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import fontpkg_amiri
import fontpkg_noto_sans

COLUMNS = 38
_WIDTH = 84 / 25.4 * 72  # points; the window has 85 mm
_FLOOR = 8.0  # points; smaller capitals are hard to read. The letter and the slips have the same floor for names
_SIZES = {10.0: 6, 9.0: 6, _FLOOR: 8}  # the type sizes in points, and the number of lines that 23 mm hold at each
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


FOLDERS = tuple(Path(package.ROOT) / "files" for package in (fontpkg_noto_sans, fontpkg_amiri))
CHINESE = Path(__file__).parent / "fonts" / "NotoSansSC-letters.ttf"
"""The font of the Chinese texts of letters, reduced to their glyphs (`tests/letters/chinese_font.py`)."""

_JOINERS = "\u200c\u200d"  # written inside Persian and Indian words
_MAX_MARKS = 3  # on one letter: Vietnamese needs two; more would cover the lines around
_SPACES = re.compile(r"[^\S\u00a0\u202f]+")  # all but the no-break spaces of French


def printable(text: str) -> str:
    r"""Return `text` on one line, with only characters that the fonts can draw.

    Control characters, surrogates and direction overrides are removed. A character that no font has is replaced by its
    compatibility form (𝒜 → A), or left out if it has none. `#`, `\` and `<b>` stay: the typesetter receives data, not
    markup.
    """
    kept: list[str] = []
    marks = 0
    for char in unicodedata.normalize("NFC", _SPACES.sub(" ", text).strip()):
        marks = marks + 1 if unicodedata.category(char) in {"Mn", "Me"} else 0
        if marks <= _MAX_MARKS:
            kept.append(_drawable(char) or "")
    return "".join(kept).strip()


def is_whole(text: str) -> bool:
    """Return whether the fonts can draw every character of `text`, also in capitals."""
    chars = unicodedata.normalize("NFC", _SPACES.sub(" ", text + text.upper()))
    return all(_drawable(char) is not None for char in chars)


def _drawable(char: str) -> str | None:
    """Return one character as itself or its compatibility form; an empty text for one without a shape; or None."""
    if char in _JOINERS:
        return char
    if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co"}:
        return ""
    if ord(char) in _code_points():
        return char
    plain = unicodedata.normalize("NFKD", char)
    return plain if all(ord(part) in _code_points() for part in plain) else None


def width(text: str) -> float:
    """Return the width of printable text in ems, at the regular weight and without kerning."""
    widths = _widths()
    return sum(widths.get(ord(char), 1.0) for char in text)


def _code_points() -> KeysView[int]:
    return KeysView(_widths())


@functools.cache
def _widths() -> Mapping[int, float]:
    from fontTools.ttLib import TTFont  # noqa: PLC0415 - takes 0.1 s, which only the print of letters should pay

    widths: dict[int, float] = {}
    for path in (path for folder in FOLDERS for path in folder.glob("*.ttf") if "Italic" not in path.name):
        with TTFont(path, lazy=True) as font:
            em, advances = font["head"].unitsPerEm, font["hmtx"].metrics
            for point, glyph in font.getBestCmap().items():
                widths.setdefault(point, advances[glyph][0] / em)
    return widths
