"""Interprets single values of the XML formats: dates, civilities, kinship, lengths; and reports wrong ones."""

import re
from collections.abc import Iterable, Sequence
from datetime import date

from idp.rostering.records import KINSHIPS, LONGEST, Issue, Place, Severity

_DATE = re.compile(r"([0-9]{2})/([0-9]{2})/([0-9]{4})")
_KINSHIP = re.compile(r"[0-9]{0,2}")
_CIVILITIES = {
    **dict.fromkeys(("M", "M.", "MR", "MR.", "MONSIEUR"), "M."),
    **dict.fromkeys(("MME", "MME.", "MADAME", "MLLE", "MLLE.", "MELLE", "MADEMOISELLE"), "Mme"),
}
_LONGEST_CIVILITY = 12
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
LINES = 12
"""The most lines of a postal address; real ones have four."""


def date_of(text: str) -> date | None:
    """Return the day of a text (DD/MM/YYYY), or None."""
    if not (match := _DATE.fullmatch(text)):
        return None
    day, month, year = match.groups()
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def civility_of(text: str) -> str:
    """Return `M.` or `Mme` for each of their spellings; another text unchanged."""
    return _CIVILITIES.get(text.upper(), text) if len(text) <= _LONGEST_CIVILITY else text


def kinship_of(text: str) -> str | None:
    """Return SDET's code for an old or a new code; None if the text is not a code."""
    return KINSHIPS.get(text, text) if _KINSHIP.fullmatch(text) else None


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
