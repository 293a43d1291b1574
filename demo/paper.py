"""The demonstration's letters: `letters.json`, which keeps all that they say in clear, and `letters.pdf`.

A real service never keeps a provisional password (CNIL 2022-100: a slow hash only). Here it is the paper that a visitor
holds: what was printed stays as it was printed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from demo.families import DemoGuardian
from demo.folder import read_json, write_json, write_private
from idp.letters import provisional
from idp.letters.render import pdf
from idp.letters.secrets import DrawnLetter


@dataclass(frozen=True)
class Printed:
    """A letter as it was printed: whose it is in the files, from which school, and when its secret ends."""

    roster_key: str
    uai: str
    expires_at: datetime
    letter: pdf.Letter

    def row(self) -> dict[str, Any]:
        """Return the letter under the names that scripts rely on."""
        return {
            "school": self.letter.school_name,
            "uai": self.uai,
            "name": self.letter.recipient[0],
            "username": self.letter.username,
            "provisional_password": provisional.show(self.letter.provisional_password),
            "children": [{"given_name": child.given_name, "class": child.class_name} for child in self.letter.children],
        }

    def kept_row(self) -> dict[str, Any]:
        """Return what `letters.json` keeps of it: the same, and its page."""
        page = asdict(self.letter)
        for name in ("printed_on", "valid_until"):
            page[name] = page[name].isoformat()
        return self.row() | {
            "roster_key": self.roster_key,
            "expires_at": self.expires_at.isoformat(),
            "page": page,
        }

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Printed":
        """Return the letter that `kept_row` made `row` of.

        Raises:
            KeyError, TypeError, ValueError: it was made otherwise.
        """
        page = dict(row["page"])
        page["children"] = [pdf.LetterChild(*child) for child in page["children"]]
        for name in ("printed_on", "valid_until"):
            page[name] = date.fromisoformat(page[name])
        return cls(row["roster_key"], row["uai"], datetime.fromisoformat(row["expires_at"]), pdf.Letter(**page))

    def leading_to(self, home: str) -> "Printed":
        """Return the same letter with the address at which its ENT is now."""
        return replace(self, letter=replace(self.letter, ent_url=home))


@dataclass(frozen=True)
class SeededLetter:
    """The letter of a guardian; `usable` tells that the account waits for it: it has not served, nor been given up."""

    guardian: DemoGuardian
    printed: Printed
    usable: bool

    @property
    def username(self) -> str:
        """The identifier that was drawn at the import."""
        return self.printed.letter.username

    @property
    def shown(self) -> str:
        """The provisional password as it is printed, in groups."""
        return provisional.show(self.printed.letter.provisional_password)

    @property
    def name(self) -> str:
        """The person, as the letter calls them."""
        return self.printed.letter.recipient[0]


class Paper:
    """The letters in the demonstration's folder. What draws letters hands them over here (`secrets.LetterOutput`)."""

    def __init__(self, folder: Path) -> None:
        self._list = folder / "letters.json"
        self._before: dict[str, Printed] = {}
        self.pdf = folder / "letters.pdf"

    def printed(self) -> dict[str, Printed]:
        """Return the letters that were printed, by their people's keys in the files.

        Raises:
            ClickException: the list does not say it: somebody wrote in it, or another version.
        """
        try:
            letters = [Printed.of_row(row) for row in read_json(self._list, absent=[])]
        except (KeyError, TypeError, ValueError) as error:
            raise click.ClickException(
                f"{self._list} ne se lit plus. Corrigez-le, ou effacez la démonstration avec « make demo-reset »."
            ) from error
        return {letter.roster_key: letter for letter in letters}

    def write(self, letters: Iterable[Printed]) -> None:
        """Write `letters.json`; a PDF that says something else is removed."""
        rows = [letter.kept_row() for letter in letters]
        if rows != read_json(self._list, absent=None):
            self.pdf.unlink(missing_ok=True)
            write_json(self._list, rows)

    def store(self, drawn: Sequence[DrawnLetter], expires_at: datetime) -> None:
        """Add letters to the list, on the disk before this returns: their secrets open nothing yet."""
        self._before = self.printed()
        fresh = {
            str(one.account.roster_key): Printed(str(one.account.roster_key), one.school.uai, expires_at, one.letter)
            for one in drawn
        }
        self.write({**self._before, **fresh}.values())

    def publish(self) -> None:
        """The letters are good: the list is right as it stands."""

    def discard(self) -> None:
        """Take the letters of `store` out of the list again."""
        self.write(self._before.values())

    def print(self, letters: Iterable[Printed]) -> None:
        """Write `letters.pdf`, a page per letter in their order, unless it is there."""
        if not self.pdf.is_file():
            write_private(self.pdf, pdf.render(letter.letter for letter in letters))
