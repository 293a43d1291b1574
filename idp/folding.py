"""Normal forms for comparing texts: without accents, and without accents and case."""

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
        "ɓ": "b",
        "Ɓ": "B",
        "ɗ": "d",
        "Ɗ": "D",
        "ɛ": "e",
        "Ɛ": "E",
        "ɔ": "o",
        "Ɔ": "O",
        "’": "'",
    }
)


def plain(text: str) -> str:
    """Return `text` without accents: « Été » gives « Ete ». The caller must limit its length."""
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text.translate(_SPELLED_OUT))
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn")


def fold(text: str) -> str:
    """Return `text` without accents and case: « LÉO », « léo » and « Leo » give « leo »."""
    return plain(plain(text).casefold())
