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

from idp.accounts.models import School
from idp.accounts.passwords.hasher import HasherBusyError
from idp.letters import class_lists, printing, recipients
from idp.letters.files import LetterFileError
from idp.letters.printing import LONGEST_REASON, PrintOrder, Report
from idp.letters.recipients import PrintError, Refusal
from idp.letters.render.pdf import LetterError
from idp.services import services
from idp.terminal import AS_JSON, YES, confirm, dumped, plain, table
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
"""What the operator types next."""


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
    """Turn the errors of a print into messages of the command."""
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


_REMAINING = ("class", "pupil", "guardian", "state")


@letters.command("remaining")
@click.option("--school", "uai", metavar="UAI", required=True, help="The school.")
@click.option("--class", "class_name", metavar="C", help="Only this class of the school.")
@AS_JSON
def list_remaining(uai: str, class_name: str | None, *, as_json: bool) -> None:
    """List the parents who still have to activate or to confirm an address, for the class teacher: names alone."""
    rows = class_lists.remaining(_school(uai, class_name), class_name)
    if as_json:
        click.echo(dumped([dict(zip(_REMAINING, row[:-1], strict=True)) for row in rows]))
    else:
        table(_REMAINING, [row[:-1] for row in rows])


@letters.command("remind")
@click.option("--school", "uai", metavar="UAI", required=True, help="The school.")
@click.option("--class", "class_name", metavar="C", help="Only this class of the school.")
@AS_JSON
def remind(uai: str, class_name: str | None, *, as_json: bool) -> None:
    """Send a new link to the parents whose email waits for its confirmation, at most once a week to each."""
    people = class_lists.waiting(_school(uai, class_name), class_name)
    done = class_lists.remind(services().settings, [person.account_id for person in people])
    if as_json:
        click.echo(json.dumps(asdict(done)))
    else:
        click.echo(
            f"{done.sent} reminded, {done.too_soon} reminded a short time ago, {done.later} to remind later (another "
            f"mail went to the same address), {done.nothing} with no need"
        )


def _school(uai: str, class_name: str | None) -> School:
    with _errors_as_messages():
        school = recipients.find_school(uai)
        if class_name is not None and not class_lists.has_class(school, class_name):
            raise PrintError(f"{school.uai} has no class {class_name}")
    return school
