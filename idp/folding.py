"""Normal forms of texts and of people's names, for comparisons: without accents and case, and word by word."""

import re
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


PARTICLES = frozenset(
    re.split(
        " ",
        "a al ait ben bin bint d da das de del della den der des di do dos du el "
        "ep epouse et la las le les los nee o of ould san st ste ter van von y",
    )
)
"""Words that many family names share."""
# The beginnings of the names of letters, and of « Œ »; that of a small capital M is « LATIN LETTER ».
_LATIN = ("LATIN CAPITAL ", "LATIN SMALL ")

# The blocks of Latin letters for phonetic notation and for linguists, which no register writes in a name.
_PHONETIC = range(0x0250, 0x02B0), range(0x1D00, 0x1DC0), range(0x2C60, 0x2C80), range(0xA720, 0xA800)
# A letter outside of ASCII and the two blocks that hold all letters of French names: most names have none.
_UNUSUAL = re.compile("[^\x00-\x7fÀ-ſ]")
# The letters of those blocks that names have: in Azeri; in Fula, Hausa, Ewe and Lingala. `idp.folding` folds these.
_IN_NAMES = frozenset("əɓɗɛɔ")
# The beginnings of the names of letters that look like Latin ones, or nearly.
_ALIKE = ("LATIN ", "GREEK ", "CYRILLIC ", "ARMENIAN ", "COPTIC ", "CHEROKEE ", "LISU ")


def civility(text: str) -> str:
    """Return a person's civility: « m », « mme », another word, or the empty text."""
    word = fold(text).strip(". ")
    return "mme" if word in {"mlle", "madame", "mademoiselle"} else word


def words_of_name(name: str) -> list[str]:
    """Return the words of a name, folded: « Anne-Marie » gives « anne » and « marie »."""
    return "".join(c if c.isalnum() else " " for c in fold(name)).split()


def foreign_letter(name: str) -> str:
    """Return the first letter of a name that may be there in place of a Latin one, or the empty text.

    SIECLE and ONDE take names from the civil register, which writes them in Latin letters with any diacritics, so that
    Turkish, Polish, Vietnamese and Romanian names pass. A letter of another alphabet among them is a look-alike, by
    mistake or on purpose: with a Cyrillic « а », a name looks the same on screen and is another one to every
    comparison. So is a letter of phonetic notation, such as « ɑ ». Whole names can be written so in the alphabets of
    `_ALIKE`, and in no other: an Arabic name passes.
    """
    if not _UNUSUAL.search(name):
        return ""
    letters = [c for c in unicodedata.normalize("NFKC", name) if c.isalpha() and unicodedata.category(c) != "Lm"]
    foreign = [c for c in letters if _is_phonetic(c) or not unicodedata.name(c, "").startswith(_LATIN)]
    is_mixed = len(foreign) < len(letters)
    return next((c for c in foreign if is_mixed or unicodedata.name(c, "").startswith(_ALIKE)), "")


def _is_phonetic(letter: str) -> bool:
    return letter not in _IN_NAMES and any(ord(letter) in block for block in _PHONETIC)
