"""Interprets the cells of a CSV file: civility, day, kinship, authority, and the key of a person without a number.

The caller checks the length of a text first (R-11), because folding takes time.
"""

import hashlib
import re
from datetime import date
from functools import lru_cache

from idp.folding import fold
from idp.rostering.readers.xml_values import date_of
from idp.rostering.records import KINSHIPS

_CIVILITIES = {
    **dict.fromkeys(("m", "mr", "monsieur"), "M."),
    **dict.fromkeys(("mme", "madame", "mlle", "mademoiselle"), "Mme"),
}
_KINSHIPS = {
    **dict.fromkeys(("mere", "maman"), "10"),
    **dict.fromkeys(("pere", "papa"), "20"),
    **dict.fromkeys(("frere", "soeur", "fratrie"), "37"),
    **dict.fromkeys(("grandmere", "grandpere", "grandparent", "ascendant"), "38"),
    **dict.fromkeys(("famille", "oncle", "tante", "autremembredelafamille"), "39"),
    **dict.fromkeys(("educateur", "educatrice"), "41"),
    **dict.fromkeys(("assistantfamilial", "assistantefamiliale"), "42"),
    **dict.fromkeys(("gardedenfant", "gardedenfants"), "43"),
    **dict.fromkeys(("tuteur", "tutrice"), "50"),
    **dict.fromkeys(("ase", "ddass", "aidesocialealenfance"), "51"),
    **dict.fromkeys(("eleve", "eleveluimeme", "luimeme", "ellememe"), "70"),
    **dict.fromkeys(("autre", "autrecas"), "90"),
}
_SDET = frozenset(_KINSHIPS.values())
_AUTHORITIES = {
    **dict.fromkeys(("1", "oui", "legal", "representantlegal", "responsablelegal"), 1),
    **dict.fromkeys(("2", "encharge", "personneencharge", "personneenchargedeleleve"), 2),
    **dict.fromkeys(("3", "contact", "personneacontacter"), 3),
    **dict.fromkeys(("0", "non", "aucune"), 0),
}
_ISO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NOT_LETTERS = re.compile(r"[\s*'.\ufeff\u200b]")


def clean(text: str) -> str:
    """Return a word as it is compared: without case, accents, spaces, stars, apostrophes and dots."""
    return _NOT_LETTERS.sub("", fold(text))


def civility(text: str) -> str | None:
    """Return « M. » or « Mme »; the empty text for an empty text; None for another word."""
    return _CIVILITIES.get(clean(text)) if text else ""


def day(text: str) -> date | None:
    """Return the day of a text (DD/MM/YYYY or ISO 8601); None if it does not exist."""
    if _ISO_DAY.fullmatch(text):
        text = "/".join(reversed(text.split("-")))
    return date_of(text)


def kinship(text: str) -> str | None:
    """Return SDET's code of a kinship that is given as a code, an old code or a word; otherwise None."""
    word = clean(text).replace("-", "") if text else ""
    if not word or word in _SDET:
        return word
    return KINSHIPS.get(word) or _KINSHIPS.get(word)


def authority(text: str) -> int | None:
    """Return the rank of authority (1, 2, 3, 0) of a code or a word; otherwise None."""
    return _AUTHORITIES.get(clean(text))


def key_of_names(source: str, uai: str, *names: str, born: date | None = None) -> str:
    """Return the key of a person without a number: equal for equal names in the same school.

    Accents, case and hyphens do not count, because two files of a school may spell a name in two ways. The birth date
    changes the end of the key: namesakes share the rest (`reconcile.statements.stem`).
    """
    words = "\n".join(map(_words, names)).encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(words).hexdigest()
    end = hashlib.sha256(words + born.isoformat().encode()).hexdigest() if born else digest
    return f"{source}:{uai}:{digest[:16]}{end[16:32]}"


@lru_cache(maxsize=20_000)
def _words(name: str) -> str:
    """Return a name as keys compare it. Results are cached, because given names repeat and folding is slow."""
    folded = name.lower() if name.isascii() else fold(name)
    return " ".join(re.findall(r"\w+", folded)) or folded
