"""Checks the letters of people's names."""

import unicodedata

_LATIN = ("LATIN CAPITAL ", "LATIN SMALL ")
"""The beginnings of the names of letters, and of « Œ »; that of a small capital M is « LATIN LETTER »."""


def foreign_letter(name: str) -> str:
    """Return the first letter of a name that is not Latin, or the empty text.

    SIECLE and ONDE take names from the civil register, which writes them in Latin letters with any diacritics, so that
    Turkish, Polish, Vietnamese and Romanian names pass. A letter of another alphabet is a look-alike, by mistake or on
    purpose: with a Cyrillic « а », a name looks the same on screen and is another one to every comparison.
    """
    if name.isascii():
        return ""
    letters = (c for c in unicodedata.normalize("NFKC", name) if c.isalpha() and unicodedata.category(c) != "Lm")
    return next((c for c in letters if not unicodedata.name(c, "").startswith(_LATIN)), "")
