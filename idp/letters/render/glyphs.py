"""What the letters' fonts can draw, and any text brought back to it.

PDF/UA-1 (ISO 14289-1, 7.21) forbids the glyph that stands for a missing one, so one unknown character in one name would
refuse the whole batch. The fonts say what they hold in their `cmap` table (OpenType, formats 4 and 12), read here once.
"""

import functools
import re
import struct
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import fontpkg_noto_sans
import fontpkg_noto_sans_arabic

FOLDERS = tuple(Path(package.ROOT) / "files" for package in (fontpkg_noto_sans, fontpkg_noto_sans_arabic))
"""Where the fonts of the letters are."""

_UNKNOWN = "?"
_JOINERS = "\u200c\u200d"  # written inside Persian and Indian words
_MARKS_AT_MOST = 3  # on one letter: Vietnamese needs two; more is a way to scribble over the lines around
_SPACES = re.compile(r"[^\S\u00a0\u202f]+")  # all but the no-break spaces of French
_UNICODE_ENCODINGS = {(0, 3), (0, 4), (3, 1), (3, 10)}


def printable(text: str) -> str:
    r"""Return `text` on one line, with only what the fonts can draw.

    Controls, surrogates and direction overrides go; a character that no font holds is replaced by its plain form
    (𝒜 → A) or, with the unknown ones that follow it, by one question mark. `#`, `\` and `<b>` stay as they are: the
    typesetter receives data, not markup.
    """
    kept: list[str] = []
    marks = 0
    for char in unicodedata.normalize("NFC", _SPACES.sub(" ", text).strip()):
        marks = marks + 1 if unicodedata.category(char) in {"Mn", "Me"} else 0
        for part in _drawable(char) if marks <= _MARKS_AT_MOST else "":
            if part != _UNKNOWN or char == _UNKNOWN or kept[-1:] != [_UNKNOWN]:
                kept.append(part)
    return "".join(kept).strip()


def _drawable(char: str) -> str:
    """Return what is drawn for one character: itself, its plain form, a question mark, or nothing."""
    if char in _JOINERS:
        return char
    if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co"}:
        return ""
    if ord(char) in _covered():
        return char
    plain = unicodedata.normalize("NFKD", char)
    return plain if all(ord(part) in _covered() for part in plain) else _UNKNOWN


@functools.cache
def _covered() -> frozenset[int]:
    """Return every code point that an upright font of ours draws."""
    fonts = (font for folder in FOLDERS for font in sorted(folder.glob("*.ttf")) if "Italic" not in font.name)
    return frozenset(point for font in fonts for point in _cmap(font.read_bytes()))


def _cmap(font: bytes) -> Iterator[int]:
    """Yield the code points of a font file, from each Unicode subtable of its `cmap`."""
    (tables,) = struct.unpack_from(">H", font, 4)
    records = (struct.unpack_from(">4sLLL", font, 12 + 16 * index) for index in range(tables))
    start = next(offset for tag, _, offset, _ in records if tag == b"cmap")
    (subtables,) = struct.unpack_from(">H", font, start + 2)
    for index in range(subtables):
        platform, encoding, offset = struct.unpack_from(">HHL", font, start + 4 + 8 * index)
        if (platform, encoding) in _UNICODE_ENCODINGS:
            yield from _subtable(font, start + offset)


def _subtable(font: bytes, at: int) -> Iterator[int]:
    (form,) = struct.unpack_from(">H", font, at)
    if form == 12:  # noqa: PLR2004 - segmented coverage, all planes
        (groups,) = struct.unpack_from(">L", font, at + 12)
        for index in range(groups):
            first, last, _ = struct.unpack_from(">LLL", font, at + 16 + 12 * index)
            yield from range(first, last + 1)
    elif form == 4:  # noqa: PLR2004 - segments of the basic plane
        yield from _segments(font, at)


def _segments(font: bytes, at: int) -> Iterator[int]:
    """Yield the code points of a format 4 subtable; a glyph index of 0 means that the point is not drawn."""
    count = struct.unpack_from(">H", font, at + 6)[0] // 2
    ends, starts, deltas, offsets = (at + place + 2 * count * rank for rank, place in enumerate((14, 16, 16, 16)))
    for index in range(count):
        last, first, delta, offset = (
            struct.unpack_from(">H", font, table + 2 * index)[0] for table in (ends, starts, deltas, offsets)
        )
        for point in range(first, min(last, 0xFFFE) + 1):
            if offset == 0:
                glyph = point + delta & 0xFFFF
            else:
                (glyph,) = struct.unpack_from(">H", font, offsets + 2 * index + offset + 2 * (point - first))
            if glyph:
                yield point
