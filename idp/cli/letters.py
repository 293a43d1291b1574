"""`idp letters`. The commands run in the application context that `idp.cli` opens."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from idp.accounts.passwords.hasher import HasherBusyError
from idp.letters import printing
from idp.letters.files import LetterFileError
from idp.letters.printing import LONGEST_REASON, PrintOrder, Report
from idp.letters.recipients import PrintError, Refusal
from idp.letters.render.pdf import LetterError
from idp.operations.letter_counts import ClassStatus, SchoolStatus, school_statuses
from idp.services import services
from idp.terminal import AS_JSON, YES, confirm, dumped, plain
from idp.uai import normalised_uai

_NAMED_AT_MOST = 5
_PATH = click.Path(path_type=Path)


@click.group()
def letters() -> None:
    """Letters that schools hand out: an identifier and a provisional password on paper."""


_NEXT = {
    Refusal.UNNAMED: "set it with `idp school set`",
    Refusal.NO_ENT: "set it with `idp client set`",
    Refusal.NO_REASON: "give --reason",
}


def _reason(_ctx: click.Context, _option: click.Parameter, typed: str) -> str:
    reason = " ".join(typed.split())
    if not reason.isprintable() or len(reason) > LONGEST_REASON:
        raise click.BadParameter(f"must be {LONGEST_REASON} characters of text at most")
    return reason


@letters.command("print")
@click.option("--school", "uai", metavar="UAI", help="All parents of this school without a valid letter.")
@click.option("--class", "class_name", metavar="C", help="Only parents of a child in this class of the school.")
@click.option(
    "--username",
    "usernames",
    multiple=True,
    metavar="U",
    help="Only this person, with a letter or not; repeatable.",
)
@click.option("--renew", is_flag=True, help="Print again for parents with a valid letter, which becomes invalid.")
@click.option("--strip", "as_slips", is_flag=True, help="Three slips to a sheet, to cut apart.")
@click.option("--per-class", is_flag=True, help="One PDF for each class; --out is a folder.")
@click.option("--out", type=_PATH, help="The PDF to write; it must not exist.")
@click.option("--csv", type=click.Path(dir_okay=False, path_type=Path), help="The CSV file to write, for a mail merge.")
@click.option(
    "--reason",
    default="",
    callback=_reason,
    metavar="TEXT",
    help="Why an account that has been active gets a letter; the journal keeps it.",
)
@AS_JSON
@YES
def print_letters(*, as_json: bool, yes: bool, **asked: Any) -> None:
    """Draw provisional passwords and print one letter per person; former letters become invalid.

    The parents of a school are sorted by class and name. Parents who activated their account are skipped, and, without
    --renew, parents with a valid letter; the command names them. Run an interrupted print again to complete it: with
    --per-class, the classes that are done stay done.

    With --username, the letters of these people are printed, all or none. An active account is closed until its new
    letter is used: its password and email are removed, its sessions end, and its owner is told at that email. An
    account that a new letter closed is skipped in the letters of a school too: another letter needs a reason again.
    """
    order = PrintOrder(**{**asked, "uai": normalised_uai(asked["uai"]) if asked["uai"] else None})
    _check_usage(order)
    settings, hasher = services().settings, services().hasher
    if order.usernames:
        people = ", ".join(order.usernames)
        confirm(f"Print letters for {people}, and close active accounts until these are used?", yes=yes)
    if faults := services().settings_faults(settings):
        raise click.ClickException("\n".join(("letters cannot be printed with these settings:", *faults)))
    with _errors_as_messages():
        report = printing.print_letters(settings, hasher, order, _ignore if as_json else _show_line)
    if as_json:
        click.echo(json.dumps(_as_json(order, report), ensure_ascii=False))
    else:
        _show(order, report)


def _show_line(line: str) -> None:
    click.echo(plain(line))


def _ignore(_line: str) -> None:
    """Print nothing: the output of `--json` is one object."""


def _check_usage(order: PrintOrder) -> None:
    for is_wrong, message in (
        (not order.uai and not order.usernames, "give --school or --username"),
        (order.out is None and order.csv is None, "give --out or --csv"),
        (order.out is not None and order.out == order.csv, "--out and --csv are the same file"),
        (order.class_name is not None and not order.uai, "--class needs --school"),
        (order.per_class and (not order.uai or order.usernames), "--per-class needs --school without --username"),
        (order.per_class and order.csv is not None, "--per-class is without --csv: a list has all classes"),
        (order.as_slips and order.out is None, "--strip needs --out"),
        (
            order.out is not None and order.out.is_dir() and not order.per_class,
            "--out is a folder: give --per-class",
        ),
        (order.out is not None and order.out.is_file() and order.per_class, "--out must be a folder with --per-class"),
    ):
        if is_wrong:
            raise click.UsageError(message)


@contextmanager
def _errors_as_messages() -> Iterator[None]:
    try:
        yield
    except PrintError as error:
        following = f": {_NEXT[error.refusal]}" if error.refusal in _NEXT else ""
        raise click.ClickException(plain(f"{error}{following}")) from error
    except (LetterError, LetterFileError) as error:
        raise click.ClickException(plain(error)) from error
    except BrokenProcessPool as killed:
        raise click.ClickException(
            "a process of the print was killed: the letters of this file are not valid; free memory, then try again"
        ) from killed
    except HasherBusyError as busy:
        raise click.ClickException("all password hashing slots are busy: try again") from busy
    except OSError as fault:
        raise click.ClickException(
            f"{plain(fault.filename or 'a file')} cannot be written ({plain(fault.strerror)}): no letter in it is valid"
        ) from fault


def _as_json(order: PrintOrder, report: Report) -> dict[str, Any]:
    made = report.printed > 0
    shown = {
        "printed": report.printed,
        "skipped": [{"username": entry.username, "reason": entry.reason} for entry in report.skipped],
        "pdf": str(order.out) if order.out and made else None,
        "csv": str(order.csv) if order.csv and made else None,
    }
    return shown | {"files": [str(path) for path in report.files]} if order.per_class else shown


def _show(order: PrintOrder, report: Report) -> None:
    for reason, count in Counter(entry.reason for entry in report.skipped).most_common():
        names = [entry.username for entry in report.skipped if entry.reason == reason]
        click.echo(plain(f"skipped: {', '.join(names) if count <= _NAMED_AT_MOST else count} {reason}"), err=True)
    if not report.printed:
        click.echo(f"no letter to print{f' for {plain(order.uai)}' if order.uai else ''}")
        return
    where = " and ".join(plain(path) for path in (order.out, order.csv) if path)
    click.echo(f"{report.printed} letter{'' if report.printed == 1 else 's'} in {where}")


@letters.command("status")
@click.option("--school", "uai", metavar="UAI", help="Only this school.")
@AS_JSON
def status(uai: str | None, *, as_json: bool) -> None:
    """Count, for each school and class, the accounts that are printed, activated, unconfirmed, expired or disputed.

    An account counts in each class with a child of the person, and once in the whole school. Also the open notices
    and the mailboxes of more than two accounts of each school.
    """
    with _errors_as_messages():
        schools = school_statuses(normalised_uai(uai) if uai else None)
        if as_json:
            click.echo(dumped({"schools": [_as_row(school) for school in schools]}))
            return
        shown = False
        for school in schools:
            if school.classes or school.notices_open:
                _print_status(school)
                shown = True
    if not shown:
        where = "this school" if uai else "any school"
        click.echo(f"no pupil of {where} has an account: import them with `idp roster import`", err=True)


def _as_row(school: SchoolStatus) -> dict[str, Any]:
    values = asdict(school)
    del values["whole"]
    for row in values["classes"]:
        row["class"] = row.pop("class_name")
    return values


_HEAD = ("accounts", "printed", "activated", "waiting", "without mail", "expired", "never printed", "disputed")


def _print_status(school: SchoolStatus) -> None:
    click.echo(f"{school.uai}  {plain(school.name)}")
    click.echo("  ".join(("", f"{'class':<20}", *_HEAD)))
    for row in school.classes:
        _print_counts(plain(row.class_name) or "-", row)
    _print_counts("whole school", school.whole)
    click.echo(f"  open notices: {school.notices_open}, mailboxes of more than two accounts: {school.shared_mailboxes}")


def _print_counts(name: str, row: ClassStatus) -> None:
    cells = (str(getattr(row, head.replace(" ", "_"))).rjust(len(head)) for head in _HEAD)
    click.echo("  ".join(("", f"{name:<20}", *cells)))
