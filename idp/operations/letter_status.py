"""`idp letters status`: the counts of each school and class (`idp.operations.letter_counts`)."""

import sys
from collections.abc import Iterator
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from idp.letters.recipients import PrintError
from idp.operations.letter_counts import ClassStatus, SchoolStatus, school_statuses
from idp.terminal import AS_JSON, dumped, plain
from idp.uai import normalised_uai

_BAR = 10


@click.command("status")
@click.option("--school", "uai", metavar="UAI", help="Only this school.")
@AS_JSON
def command(uai: str | None, *, as_json: bool) -> None:
    """Count, for each school and class, the accounts that are printed, activated, unconfirmed, expired or disputed.

    An account counts in each class with a child of the person, and once in the whole school. Also the open notices
    and the mailboxes of more than two accounts of each school.
    """
    try:
        schools = school_statuses(normalised_uai(uai) if uai else None)
        if as_json:
            _print_json(schools)
            return
        show = _print_table if sys.stdout.isatty() else _print_plain
        shown = False
        for school in schools:
            if school.classes or school.notices_open:
                show(school)
                shown = True
        if shown and sys.stdout.isatty():
            _print_legend()
        if not shown:
            where = "this school" if uai else "any school"
            click.echo(f"no pupil of {where} has an account: import them with `idp roster import`", err=True)
    except PrintError as refused:
        raise click.ClickException(plain(refused)) from refused


def _print_json(schools: Iterator[SchoolStatus]) -> None:
    """Print the object school by school, without holding an académie in memory."""
    click.echo('{"schools": [', nl=False)
    opening = ""
    for school in schools:
        values = asdict(school)
        del values["whole"]
        for row in values["classes"]:
            row["class"] = row.pop("class_name")
        click.echo(opening + dumped(values), nl=False)
        opening = ",\n"
    click.echo("]}")


_HEAD = ("class", "accounts", "printed", "activated", "waiting", "without mail", "expired", "never printed", "disputed")
_WHOLE = "whole school"


def _cells(row: ClassStatus, name: str = "") -> list[str]:
    numbers = (
        row.accounts, row.printed, row.activated, row.waiting, row.without_mail, row.expired, row.never_printed,
        row.disputed,
    )  # fmt: skip
    return [name or plain(row.class_name) or "-", *map(str, numbers)]


def _counts(school: SchoolStatus) -> str:
    return f"  open notices: {school.notices_open}, mailboxes of more than two accounts: {school.shared_mailboxes}"


def _print_plain(school: SchoolStatus) -> None:
    click.echo(f"{school.uai}  {plain(school.name)}")
    click.echo("  ".join(("", f"{_HEAD[0]:<20}", *_HEAD[1:])))
    for name, *numbers in (*map(_cells, school.classes), _cells(school.whole, _WHOLE)):
        click.echo("  ".join(("", f"{name:<20}", *(n.rjust(len(h)) for n, h in zip(numbers, _HEAD[1:], strict=True)))))
    click.echo(_counts(school))


def _print_table(school: SchoolStatus) -> None:
    title = Text(f"{school.uai}  {plain(school.name)}")
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column(_HEAD[0], overflow="fold")
    for head in _HEAD[1:]:  # on two lines, to fit into 80 columns
        table.add_column(head.replace(" ", "\n"), justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in school.classes:
        table.add_row(*map(Text, _cells(row)), _bar(row))
    table.add_row(*map(Text, _cells(school.whole, _WHOLE)), _bar(school.whole))
    console = Console()
    console.print(table)
    console.print(Text(_counts(school)))


def _print_legend() -> None:
    legend = "[green]█[/] activated  [cyan]▓[/] letter in hand  [red]▒[/] expired  [dim]░[/] never printed"
    Console().print(legend)


def _bar(row: ClassStatus) -> Text:
    """Return the counts of a class as a bar, whose end is empty for disputed accounts; the sums are rounded."""
    bar, drawn, so_far = Text(), 0, 0
    parts = (
        ("█", "green", row.activated),
        ("▓", "cyan", row.in_hand),
        ("▒", "red", row.expired),
        ("░", "dim", row.never_printed),
    )
    for block, style, count in parts:
        so_far += count
        end = round(_BAR * so_far / max(row.accounts, 1))  # no account of a school may count
        bar.append(block * (end - drawn), style)
        drawn = end
    return bar
