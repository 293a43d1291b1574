"""The announcement of a running demonstration: `demo.json` for scripts, a text for the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo import school_file
from demo.desk import Colleague
from demo.ents import HOST, DemoEnt
from demo.letters import Paper, SeededLetter
from demo.processes import WEB_OFFSET, exported
from idp.config import Settings

_SHOWN = 6
"""The number of letters on the terminal: remarkable ones that nobody has used."""


@dataclass(frozen=True)
class Announcement:
    """A demonstration that runs at `port`, with families from the school files in `files`.

    `school_file` is the file that the secretary brings to the desk.
    """

    settings: Settings
    ents: Sequence[DemoEnt]
    paper: Paper
    letters: Sequence[SeededLetter]
    colleagues: Sequence[Colleague]
    files: Path
    school_file: Path
    port: int

    @property
    def _mail_page(self) -> str:
        return f"http://{HOST}:{self.port + WEB_OFFSET}"

    def index(self) -> dict[str, Any]:
        """Return the content of `demo.json`; the names are a contract."""
        return {
            "issuer": self.settings.issuer,
            "env": exported(self.settings),
            "ents": [
                {
                    "name": ent.name,
                    "url": ent.url,
                    "client_id": ent.client_id,
                    "uai": ent.uais[0],
                    "uais": ent.uais,
                }
                for ent in self.ents
            ],
            "mailbox": f"{self._mail_page}/mails.json",
            "letters_pdf": str(self.paper.pdf),
            "letters": [letter.printed.row() for letter in self.letters],
            "desk": {
                "url": self.settings.desk_url,
                "staff": [colleague.row() for colleague in self.colleagues],
                "school_file": str(self.school_file),
            },
        }

    def summary(self) -> str:
        """Return the URLs, and the most interesting letters."""
        waiting = [letter for letter in self.letters if letter.usable]
        shown = [letter for letter in waiting if letter.guardian.remark][:_SHOWN]
        lines = [
            "",
            "The demonstration is ready. Open an ENT, with a parent's letter in hand.",
            "",
            *(f"  {'ENT ' + ent.name:<20} {ent.url}   ({_schools(ent)})" for ent in self.ents),
            f"  {'Received mails':<20} {self._mail_page}",
            f"  {self.settings.service_name:<20} {self.settings.issuer}",
            f"  {'School desk':<20} {self.settings.desk_url}",
            "",
            f"Letters: {len(waiting)} of {len(self.letters)} are unused. All letters: {self.paper.pdf}",
            f"The families come from the files in {self.files}",
        ]
        for letter in shown:
            ent = next(ent for ent in self.ents if letter.printed.uai in ent.uais)
            lines += [
                f"  {letter.username:<20} {letter.shown}   {ent.name}",
                f"  {'':<20} {letter.name}: {letter.guardian.remark}",
            ]
        waiting_staff = [colleague for colleague in self.colleagues if colleague.link]
        if waiting_staff:
            lines += ["", "Staff of the desk enrol with these links, each for another browser or profile:"]
            lines += [f"  {colleague.role.value:<20} {colleague.link}" for colleague in waiting_staff]
        lines += [
            "",
            f"The secretary's next school file, to bring on the page « Fichiers » ({school_file.SCHOOL.name}):",
            f"  {self.school_file}",
        ]
        return "\n".join([*lines, "", "Ctrl-C stops everything.", ""])


def _schools(ent: DemoEnt) -> str:
    return ", ".join(school.name for school in ent.schools)
