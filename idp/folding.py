"""Two spellings under which texts are compared: without accents, and without accents and case."""

import unicodedata

_SPELLED_OUT = str.maketrans(
    {
        "œ": "oe",
        "Œ": "OE",
        "æ": "ae",
        "Æ": "AE",
        "ø": "o",
        "Ø": "O",
        "ł": "l",
        "Ł": "L",
        "đ": "d",
        "Đ": "D",
        "ı": "i",
        "’": "'",
    }
)


def plain(text: str) -> str:
    """Return `text` without accents, case kept: « Été » gives « Ete ». Its length must have been checked before."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_SPELLED_OUT))
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn")


def fold(text: str) -> str:
    """Return `text` without accents nor case, so that « LÉO », « léo » and « Leo » are one word."""
    return plain(plain(text).casefold())
