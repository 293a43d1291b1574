"""The demonstration's letters: `letters.json`, which keeps the provisional passwords in clear, and `letters.pdf`.

A real service never keeps them (CNIL 2022-100: a slow hash only). Here they are the paper that a visitor holds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from idp.clock import now
from idp.config import Settings
from idp.demo.families import PLACE, SCHOOLS, DemoGuardian
from idp.demo.folder import read_json, write_json, write_private
from idp.letters import pdf

_GREETINGS = {"Mme": "Madame", "M.": "Monsieur"}


@dataclass(frozen=True)
class Secret:
    """A provisional password as it is printed, and the first day on which it is good no more."""

    shown: str
    valid_until: date


@dataclass(frozen=True)
class SeededLetter:
    """A letter that was drawn: for whom, for which children (given name, class), to enter which ENT, with which secret.

    `usable` tells that the account still waits for it: false once it has served, or was given up.
    """

    guardian: DemoGuardian
    secret: Secret
    name: str
    school: str
    uai: str
    ent_url: str
    children: tuple[tuple[str, str], ...]
    usable: bool

    def row(self) -> dict[str, Any]:
        """Return the letter under the names that scripts rely on."""
        return {
            "school": self.school,
            "uai": self.uai,
            "name": self.name,
            "username": self.guardian.username,
            "provisional_password": self.secret.shown,
            "children": [{"given_name": given, "class": group} for given, group in self.children],
        }

    def kept_row(self) -> dict[str, Any]:
        """Return what `letters.json` keeps of it: all that its page says."""
        return self.row() | {"valid_until": self.secret.valid_until.isoformat(), "ent_url": self.ent_url}


class Paper:
    """The letters in the demonstration's folder."""

    def __init__(self, folder: Path) -> None:
        self._list = folder / "letters.json"
        self.pdf = folder / "letters.pdf"

    def secrets(self) -> dict[str, Secret]:
        """Return the provisional passwords that were printed, by identifier."""
        rows = read_json(self._list, absent=[])
        return {
            row["username"]: Secret(row["provisional_password"], date.fromisoformat(row["valid_until"])) for row in rows
        }

    def keep(self, letters: Iterable[SeededLetter]) -> None:
        """Write `letters.json`; a PDF that says something else is removed."""
        rows = [letter.kept_row() for letter in letters]
        if rows != read_json(self._list, absent=None):
            self.pdf.unlink(missing_ok=True)
            write_json(self._list, rows)

    def print(self, letters: Sequence[SeededLetter], settings: Settings) -> None:
        """Write `letters.pdf`, a page per letter, unless it is there."""
        if not self.pdf.is_file():
            write_private(self.pdf, pdf.render(_page(letter, settings) for letter in letters))


def _page(letter: SeededLetter, settings: Settings) -> pdf.Letter:
    guardian = letter.guardian
    school = next(school for school in SCHOOLS if school.uai == letter.uai)
    return pdf.Letter(
        service_name=settings.service_name,
        academy=settings.academy,
        place=PLACE,
        printed_on=now().astimezone().date(),
        school_name=school.name,
        school_address=school.address,
        school_phone=school.phone,
        recipient=[letter.name, *guardian.home.lines, f"{guardian.home.postcode} {guardian.home.city}"],
        greeting=_GREETINGS.get(guardian.civility, ""),
        children=[pdf.LetterChild(given, group) for given, group in letter.children],
        ent_address=letter.ent_url,
        username=guardian.username,
        provisional_password=letter.secret.shown.replace("-", ""),
        valid_until=letter.secret.valid_until,
        help_phone=settings.support_phone,
        help_hours=settings.support_hours,
        dpo_mail=settings.dpo_mail,
    )
