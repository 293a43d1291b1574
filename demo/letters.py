"""The demonstration's letters: `letters.json` with their full content, and `letters.pdf`.

A real service never stores a provisional password (CNIL 2022-100: a slow hash only). Here, these files take the place
of the paper: printed letters do not change.
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
from idp.letters.recipients import Skipped
from idp.letters.render import pdf
from idp.letters.secrets import DrawnLetter


@dataclass(frozen=True)
class Printed:
    """A printed letter: its person's key in the files, its school, and when its secret expires."""

    roster_key: str
    uai: str
    expires_at: datetime
    letter: pdf.Letter

    def row(self) -> dict[str, Any]:
        """Return the letter with the names that scripts rely on."""
        return {
            "school": self.letter.school_name,
            "uai": self.uai,
            "name": self.letter.recipient[0],
            "username": self.letter.username,
            "provisional_password": provisional.show(self.letter.provisional_password),
            "children": [{"given_name": child.given_name, "class": child.class_name} for child in self.letter.children],
        }

    def kept_row(self) -> dict[str, Any]:
        """Return the row of `letters.json`: the same, and its page."""
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
        """Return the letter of a row from `kept_row`.

        Raises:
            KeyError, TypeError, ValueError: it is not such a row.
        """
        page = dict(row["page"])
        page["children"] = [pdf.LetterChild(*child) for child in page["children"]]
        page["other_ents"] = [pdf.LetterEnt(*ent) for ent in page["other_ents"]]
        for name in ("printed_on", "valid_until"):
            page[name] = date.fromisoformat(page[name])
        return cls(row["roster_key"], row["uai"], datetime.fromisoformat(row["expires_at"]), pdf.Letter(**page))

    def leading_to(self, ent: pdf.LetterEnt, other: pdf.LetterEnt) -> "Printed":
        """Return the same letter with the present URLs of its ENT and of the other one."""
        others = [other] if self.letter.other_ents else []
        urls = {self.letter.ent_url: ent.url} | {former.url: other.url for former in self.letter.other_ents}
        children = [child._replace(ent_url=urls.get(child.ent_url, "")) for child in self.letter.children]
        page = replace(self.letter, ent_url=ent.url, sign_in_url=ent.sign_in_url, other_ents=others, children=children)
        return replace(self, letter=page)


@dataclass(frozen=True)
class SeededLetter:
    """A guardian's letter; `usable` says whether the account can still be activated with it."""

    guardian: DemoGuardian
    printed: Printed
    usable: bool

    @property
    def username(self) -> str:
        """The identifier that the import drew."""
        return self.printed.letter.username

    @property
    def shown(self) -> str:
        """The provisional password as printed, in groups."""
        return provisional.show(self.printed.letter.provisional_password)

    @property
    def name(self) -> str:
        """The person's name, as on the letter."""
        return self.printed.letter.recipient[0]


class Paper:
    """The letters in the demonstration's folder (`secrets.LetterOutput`)."""

    def __init__(self, folder: Path) -> None:
        self._list = folder / "letters.json"
        self._before: dict[str, Printed] = {}
        self.pdf = folder / "letters.pdf"

    def printed(self) -> dict[str, Printed]:
        """Return the printed letters, by their people's keys in the files.

        Raises:
            ClickException: the list is damaged, or of another version.
        """
        try:
            letters = [Printed.of_row(row) for row in read_json(self._list, absent=[])]
        except (KeyError, TypeError, ValueError) as error:
            raise click.ClickException(
                f"{self._list} is not valid: correct it, or delete the demonstration with `make demo-reset`"
            ) from error
        return {letter.roster_key: letter for letter in letters}

    def write(self, letters: Iterable[Printed]) -> None:
        """Write `letters.json`; remove a PDF with another content."""
        rows = [letter.kept_row() for letter in letters]
        if rows != read_json(self._list, absent=None):
            self.pdf.unlink(missing_ok=True)
            write_json(self._list, rows)

    def store(self, drawn: Sequence[DrawnLetter], expires_at: datetime) -> None:
        """Add letters to the list, on the disk on return, before their secrets are valid."""
        self._before = self.printed()
        fresh = {
            str(letter.account.roster_key): Printed(
                str(letter.account.roster_key), letter.school.uai, expires_at, letter.letter
            )
            for letter in drawn
        }
        self.write({**self._before, **fresh}.values())

    def keep(self, drawn: Sequence[DrawnLetter], skipped: Sequence[Skipped]) -> None:
        """Do nothing: the letters are in the list."""

    def publish(self) -> None:
        """Do nothing: the list is already complete."""

    def discard(self) -> None:
        """Remove the letters of `store` from the list."""
        self.write(self._before.values())

    def print(self, letters: Iterable[Printed]) -> None:
        """Write `letters.pdf`, a page per letter in their order, unless it exists."""
        if not self.pdf.is_file():
            write_private(self.pdf, pdf.render(letter.letter for letter in letters))
