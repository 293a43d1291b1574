"""What the cell of a CSV file means: a civility, a day, a kinship, an authority, the key of somebody without a number.

Every text is short when it comes here: its length has been checked (R-11), since folding it takes time.
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
    """Return a word of a file as words are compared: without case, accents, spaces, stars, apostrophes nor dots."""
    return _NOT_LETTERS.sub("", fold(text))


def civility(text: str) -> str | None:
    """Return « M. » or « Mme », empty for an empty text, None for anything else."""
    return _CIVILITIES.get(clean(text)) if text else ""


def day(text: str) -> date | None:
    """Return the day that `text` (DD/MM/YYYY or ISO) names; None for a day that does not exist."""
    if _ISO_DAY.fullmatch(text):
        text = "/".join(reversed(text.split("-")))
    return date_of(text)


def kinship(text: str) -> str | None:
    """Return SDET's code of a kinship, given as a code, an old code or a word; None if it is none of these."""
    word = clean(text).replace("-", "") if text else ""
    if not word or word in _SDET:
        return word
    return KINSHIPS.get(word) or _KINSHIPS.get(word)


def authority(text: str) -> int | None:
    """Return the rank of authority (1, 2, 3, 0) that a code or a word means; None for an empty text and others."""
    return _AUTHORITIES.get(clean(text))


def key_of_names(source: str, uai: str, *names: str) -> str:
    """Return the key of a person whom a file gives no number: the same for the same names in the same school.

    Accents, case and hyphens do not count, since two files of one school may spell one name in two ways.
    """
    digest = hashlib.sha256("\n".join(map(_words, names)).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{source}:{uai}:{digest[:32]}"


@lru_cache(maxsize=20_000)
def _words(name: str) -> str:
    """Return a name as keys compare it. Kept for a while: given names are few, and folding is slow."""
    folded = name.lower() if name.isascii() else fold(name)
    return " ".join(re.findall(r"\w+", folded)) or folded
