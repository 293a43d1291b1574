"""Reduces text to what the fonts of the letters can draw, and tells what they cannot.

PDF/UA-1 (ISO 14289-1, 7.21) forbids the glyph for a missing character: one unknown character would refuse the whole
batch. A person whose name or postal address has one gets no letter; in the texts of the sender it is left out.
"""

import functools
import re
import unicodedata
from collections.abc import KeysView, Mapping
from pathlib import Path

import fontpkg_amiri
import fontpkg_noto_sans

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
