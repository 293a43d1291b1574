"""`idp letters print`."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from flask import current_app

from idp.accounts.passwords import Busy, Hasher
from idp.letters.pdf import LetterError
from idp.letters.reissue import LONGEST_REASON, Refused, reissue

if TYPE_CHECKING:
    from idp.config import Settings


class _Paper:
    """The file that letters are written to: its owner's alone, never in the place of another."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ours = False

    def write(self, content: bytes) -> None:
        """Write the file, on the disk before this returns.

        Raises:
            OSError: it cannot be written, or there is one of that name.
        """
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._ours = True
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def tear_up(self) -> None:
        """Remove what was written: its secrets open nothing."""
        if self._ours:
            self._path.unlink(missing_ok=True)


@click.group()
def letters() -> None:
    """The letters that schools hand out: an identifier and a provisional password on paper."""


def _reason(_ctx: click.Context, _option: click.Parameter, typed: str) -> str:
    reason = " ".join(typed.split())
    if not reason.isprintable() or len(reason) > LONGEST_REASON:
        raise click.BadParameter(f"must be {LONGEST_REASON} characters of text at most")
    return reason


@letters.command("print")
@click.option("--username", "usernames", multiple=True, required=True, metavar="U", help="Whose letter; repeatable.")
@click.option(
    "--reason", default="", callback=_reason, metavar="TEXT", help="Why an active account gets one; in the journal."
)
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="A PDF that is not there yet."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def print_letters(usernames: tuple[str, ...], reason: str, out: Path, *, as_json: bool) -> None:
    """Draw fresh provisional passwords and print one letter per person, all or none.

    The former letter of each is dead. An account that was activated is closed until its new letter has served: its
    password and its mail address are forgotten, its sessions end, and its owner is told at that address.

    Letters are printed person by person for now; whole schools and classes come with the import of school files.
    """
    settings: Settings = current_app.extensions["idp.settings"]
    hasher: Hasher = current_app.extensions["idp.hasher"]
    if out.exists():
        raise click.ClickException(f"{out} exists already, nothing was done")
    paper = _Paper(out)
    try:
        printed = reissue(settings, hasher, usernames, reason, paper.write)
    except (Refused, LetterError) as refused:
        paper.tear_up()
        raise click.ClickException(_one_line(refused)) from refused
    except Busy as busy:
        raise click.ClickException("this machine has no room for a password hash now, try again") from busy
    except OSError as fault:
        paper.tear_up()
        raise click.ClickException(f"{out} cannot be written ({fault.strerror}), nothing was done") from fault
    except BaseException:
        paper.tear_up()
        raise
    if as_json:
        click.echo(json.dumps({"printed": printed, "skipped": [], "pdf": str(out), "csv": None}, ensure_ascii=False))
        return
    click.echo(f"{printed} letter{'' if printed == 1 else 's'} in {out}")


def _one_line(text: Exception) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
