"""`idp letters`: run inside the application context that `idp.cli` opens."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from idp.accounts.passwords.hasher import Busy
from idp.letters import printing, status
from idp.letters.files import Kept
from idp.letters.printing import Order, Report
from idp.letters.recipients import Refused
from idp.letters.render.pdf import LetterError
from idp.production import production_faults
from idp.services import services
from idp.terminal import AS_JSON, plain
from idp.uai import normalised_uai

LONGEST_REASON = 200
_NAMED_AT_MOST = 5
_PATH = click.Path(path_type=Path)


@click.group()
def letters() -> None:
    """The letters that schools hand out: an identifier and a provisional password on paper."""


def _reason(_ctx: click.Context, _option: click.Parameter, typed: str) -> str:
    reason = " ".join(typed.split())
    if not reason.isprintable() or len(reason) > LONGEST_REASON:
        raise click.BadParameter(f"must be {LONGEST_REASON} characters of text at most")
    return reason


@letters.command("print")
@click.option("--school", "uai", metavar="UAI", help="All parents of this school who were never printed a letter.")
@click.option("--class", "class_name", metavar="C", help="Only those with a child in this class of it.")
@click.option("--username", "usernames", multiple=True, metavar="U", help="Only this person, again too; repeatable.")
@click.option("--renew", is_flag=True, help="Print again for those whose letter is still good: the former is dead.")
@click.option("--strip", is_flag=True, help="Four small slips to a sheet, to cut apart.")
@click.option("--per-class", is_flag=True, help="A PDF for each class: --out is a folder.")
@click.option("--out", type=_PATH, help="A PDF that is not there yet.")
@click.option("--csv", type=click.Path(dir_okay=False, path_type=Path), help="A list for a mail merge, as CSV.")
@click.option(
    "--reason", default="", callback=_reason, metavar="TEXT", help="Why an active account gets one; in the journal."
)
@AS_JSON
def print_letters(*, as_json: bool, **asked: Any) -> None:
    """Draw fresh provisional passwords and print one letter per person; a former letter is dead.

    A school's parents are sorted by class and name. Left alone are those who activated their account, and those whose
    letter is still good unless --renew says otherwise; what was left alone is said. A print that was cut off goes on
    when it is run again: with --per-class, the classes that are done stay done.

    With --username, only those people, all or none. An account that was activated is closed until its new letter has
    served: its password and its mail address are forgotten, its sessions end, and its owner is told at that address.
    """
    order = Order(**{**asked, "uai": normalised_uai(asked["uai"]) if asked["uai"] else None})
    _check_usage(order)
    settings, hasher = services().settings, services().hasher
    if faults := production_faults(settings):
        raise click.ClickException("\n".join(("no letter leaves with these settings:", *faults)))
    with _one_sentence():
        report = printing.print_letters(settings, hasher, order, _nothing if as_json else _tell)
    if as_json:
        click.echo(json.dumps(_as_json(order, report), ensure_ascii=False))
    else:
        _say(order, report)


def _tell(line: str) -> None:
    click.echo(plain(line))


def _nothing(_line: str) -> None:
    """Leave the one answer of `--json` alone."""


def _check_usage(order: Order) -> None:
    for wrong, what in (
        (not order.uai and not order.usernames, "give --school or --username"),
        (order.out is None and order.csv is None, "give --out or --csv"),
        (order.out is not None and order.out == order.csv, "--out and --csv are one file"),
        (order.class_name is not None and not order.uai, "--class needs --school"),
        (order.per_class and (not order.uai or order.usernames), "--per-class is for a whole --school"),
        (order.strip and order.out is None, "--strip is for --out"),
        (order.out is not None and order.out.is_dir() and not order.per_class, "--out is a folder: is it --per-class?"),
        (order.out is not None and order.out.is_file() and order.per_class, "--out must be a folder with --per-class"),
    ):
        if wrong:
            raise click.UsageError(what)


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turn what stops a print into the command's error."""
    try:
        yield
    except (Refused, LetterError, Kept) as refused:
        raise click.ClickException(plain(refused)) from refused
    except BrokenProcessPool as killed:
        raise click.ClickException(
            "a process that hashes or typesets was killed: no letter of this file is valid; free some memory, try again"
        ) from killed
    except Busy as busy:
        raise click.ClickException("this machine has no room for a password hash now, try again") from busy
    except OSError as fault:
        raise click.ClickException(
            f"{plain(fault.filename or 'a file')} cannot be written ({plain(fault.strerror)}): no letter of it is good"
        ) from fault


def _as_json(order: Order, report: Report) -> dict[str, Any]:
    made = report.printed > 0
    found = {
        "printed": report.printed,
        "skipped": [{"username": one.username, "reason": one.reason} for one in report.skipped],
        "pdf": str(order.out) if order.out and made else None,
        "csv": str(order.csv) if order.csv and made else None,
    }
    return found | {"files": [str(path) for path in report.files]} if order.per_class else found


def _say(order: Order, report: Report) -> None:
    for reason, count in Counter(one.reason for one in report.skipped).most_common():
        names = [one.username for one in report.skipped if one.reason == reason]
        click.echo(plain(f"left alone: {', '.join(names) if count <= _NAMED_AT_MOST else count} {reason}"), err=True)
    if not report.printed:
        click.echo(f"there is no letter to print{f' for {plain(order.uai)}' if order.uai else ''}")
        return
    where = " and ".join(plain(path) for path in (order.out, order.csv) if path)
    click.echo(f"{report.printed} letter{'' if report.printed == 1 else 's'} in {where}")


letters.add_command(status.command)
