"""Interprets the values of files: civilities, days, kinship, authority, lengths, and keys made of names.

The caller checks the length of a text before it is folded (R-11), because folding takes time.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import date
from functools import lru_cache

from idp.folding import fold
from idp.rostering.records import KINSHIPS, LONGEST, Issue, Place, Severity

_CIVILITIES = {
    **dict.fromkeys(("m", "mr", "monsieur"), "M."),
    **dict.fromkeys(("mme", "madame", "mlle", "melle", "mademoiselle"), "Mme"),
}
_LONGEST_CIVILITY = 12
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
_KINSHIP = re.compile(r"[0-9]{0,2}")
_DATE = re.compile(r"([0-9]{2})/([0-9]{2})/([0-9]{4})")
_ISO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NOT_LETTERS = re.compile(r"[\s*'.\ufeff\u200b]")
_YES_NO = {"O": True, "OUI": True, "1": True, "TRUE": True, "N": False, "NON": False, "0": False, "FALSE": False}
_LABELS = {
    "key": "L’identifiant",
    "name": "Le nom ou le prénom",
    "school_name": "Le nom de l’établissement",
    "class_name": "Le nom de la classe",
    "student_id": "Le numéro de l’élève",
    "civility": "La civilité",
    "line": "Une ligne de l’adresse",
    "postcode": "Le code postal",
    "city": "La ville ou le pays",
    "mail": "L’adresse électronique",
    "phone": "Le numéro de téléphone",
}
_MOST_NAMES = 50
_SHOWN = 60
LINES = 12  # the most lines of a postal address; real ones have four


def clean(text: str) -> str:
    """Return a word as it is compared: without case, accents, spaces, stars, apostrophes and dots."""
    return _NOT_LETTERS.sub("", fold(text))


def civility(text: str) -> str | None:
    """Return « M. » or « Mme »; the empty text for an empty text; None for another word."""
    return _CIVILITIES.get(clean(text)) if text else ""


def civility_of(text: str) -> str:
    """Return « M. » or « Mme » for each of their spellings in an XML file; another text unchanged."""
    return _CIVILITIES.get(text.lower().removesuffix("."), text) if len(text) <= _LONGEST_CIVILITY else text


def date_of(text: str) -> date | None:
    """Return the day of a text (DD/MM/YYYY), or None."""
    if not (match := _DATE.fullmatch(text)):
        return None
    day, month, year = match.groups()
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def day(text: str) -> date | None:
    """Return the day of a text (DD/MM/YYYY or ISO 8601); None if it does not exist."""
    if _ISO_DAY.fullmatch(text):
        text = "/".join(reversed(text.split("-")))
    return date_of(text)


def kinship_of(text: str) -> str | None:
    """Return SDET's code for an old or a new code; None if the text is not a code."""
    return KINSHIPS.get(text, text) if _KINSHIP.fullmatch(text) else None


def kinship(text: str) -> str | None:
    """Return SDET's code of a kinship that is given as a code, an old code or a word; otherwise None."""
    word = clean(text).replace("-", "") if text else ""
    if not word or word in _SDET:
        return word
    return KINSHIPS.get(word) or _KINSHIPS.get(word)


def authority(text: str) -> int | None:
    """Return the rank of authority (1, 2, 3, 0) of a code or a word; otherwise None."""
    return _AUTHORITIES.get(clean(text))


def yes_or_no(text: str) -> bool | None:
    """Return the truth value of `O`, `N`, `1` or `0`; None for another text."""
    return _YES_NO.get(text.upper()) if len(text) <= _LONGEST_CIVILITY else None


def too_long(fields: Iterable[tuple[str, str | None]]) -> str:
    """Return a message about the first field that is longer than `LONGEST` allows, or the empty text (R-11)."""
    for kind, text in fields:
        if text is not None and len(text) > LONGEST[kind]:
            return f"{_LABELS[kind]} est trop long : {len(text)} caractères, {LONGEST[kind]} au plus."
    return ""


def too_long_address(lines: Sequence[str]) -> str:
    """Return a message about a postal address with too many lines or a line too long, or the empty text."""
    if len(lines) > LINES:
        return f"L’adresse a trop de lignes : {len(lines)}, {LINES} au plus."
    return too_long(("line", line) for line in lines)


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


class Reporter:
    """Make the issues of one file. An unknown name is reported once, and at most fifty names are."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._unknown: set[str] = set()

    def place(self, line: int) -> Place:
        """Return the place of a line of the file."""
        return Place(self.file, line)

    def error(self, line: int, key: str, code: str, message: str, refuses: str = "") -> Issue:
        """Return an error; without `refuses`, the whole file is refused."""
        return Issue(Severity.ERROR, Place(self.file, line), key[:_SHOWN], code, message, refuses)

    def warning(self, line: int, key: str, code: str, message: str) -> Issue:
        """Return a warning."""
        return Issue(Severity.WARNING, Place(self.file, line), key[:_SHOWN], code, message)

    def unknown(self, line: int, names: Iterable[str]) -> list[Issue]:
        """Return warnings about the unknown `names` that were not reported before."""
        issues = []
        for name in names:
            if name in self._unknown or len(self._unknown) > _MOST_NAMES:
                continue
            self._unknown.add(name)
            shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"
            message = f"« {shown} » n’est pas connu : ce que le fichier dit sous ce nom n’est pas pris."
            if len(self._unknown) > _MOST_NAMES:
                message += " D’autres noms inconnus ne sont plus signalés."
            issues.append(self.warning(line, "", "unknown_attribute", message))
        return issues
