"""`idp letters status`: how far each school and class has come, from the letter to the confirmed address.

Each account counts once in a school, under the class of its first child there, as its letter is sorted. The counts are
made by the database, a few schools at a time.
"""

import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select

from idp.accounts.models import Account, Child, Guardianship, School
from idp.clock import now
from idp.db import db, end_read
from idp.letters.choice import Refused, class_order
from idp.terminal import AS_JSON, dumped, plain

_SCHOOLS_AT_ONCE = 50
_BAR = 10


@dataclass(frozen=True)
class Progress:
    """The accounts of a class that get letters.

    Attributes:
        uai: The school.
        school: Its name.
        class_name: The class.
        accounts: All of them, but those that are disabled.
        printed: Those that a letter was ever printed for.
        activated: Of these, those that chose a password.
        waiting: Of these, those whose address waits for the link of the mail.
        without_mail: Of the activated, those without any address.
        expired: Those whose letter is over, or dead, and did not serve.
        never_printed: Those that no letter was ever printed for.
    """

    uai: str
    school: str
    class_name: str
    accounts: int
    printed: int
    activated: int
    waiting: int
    without_mail: int
    expired: int
    never_printed: int

    @property
    def in_hand(self) -> int:
        """Those who hold a letter that is good."""
        return self.printed - self.activated - self.expired


def progress(uai: str | None = None) -> Iterator[Progress]:
    """Yield the classes of one school, or of all, in order.

    Raises:
        Refused: there is no school of that UAI.
    """
    if uai is not None and db.session.scalar(select(School.id).where(School.uai == uai)) is None:
        raise Refused(f"no school {uai}")
    after = ""
    while True:
        schools = select(School.id, School.uai).order_by(School.uai).limit(_SCHOOLS_AT_ONCE)
        schools = schools.where(School.uai == uai) if uai is not None else schools.where(School.uai > after)
        some = db.session.execute(schools).all()
        rows = [Progress(*row) for row in db.session.execute(_counted([one.id for one in some]))] if some else []
        end_read()
        yield from sorted(rows, key=lambda row: (row.uai, class_order(row.class_name)))
        if uai is not None or len(some) < _SCHOOLS_AT_ONCE:
            return
        after = some[-1].uai


def _counted(schools: Sequence[uuid.UUID]) -> Select[Any]:
    """Return the query that counts the accounts of `schools`, by class."""
    nth = func.row_number().over(
        partition_by=(Child.school_id, Guardianship.account_id), order_by=(Guardianship.rank, Child.id)
    )
    links = (
        select(Child.school_id, Child.class_name, Guardianship.account_id, nth.label("nth"))
        .join(Guardianship, Guardianship.child_id == Child.id)
        .where(Child.school_id.in_(schools), Guardianship.disputed_at.is_(None), Guardianship.ended_at.is_(None))
        .subquery()
    )
    active, no_letter = Account.activated_at.is_not(None), Account.provisional_hash.is_(None)
    never = and_(~active, no_letter, Account.provisional_expires_at.is_(None), Account.generation == 0)
    over = and_(~active, ~never, or_(no_letter, Account.provisional_expires_at <= now()))
    no_mail = and_(active, Account.email.is_(None))
    return (
        select(
            School.uai,
            School.name,
            links.c.class_name,
            func.count(),
            _count(~never),
            _count(active),
            _count(and_(no_mail, Account.pending_email.is_not(None))),
            _count(and_(no_mail, Account.pending_email.is_(None))),
            _count(over),
            _count(never),
        )
        .select_from(links)
        .join(Account, Account.id == links.c.account_id)
        .join(School, School.id == links.c.school_id)
        .where(links.c.nth == 1, Account.disabled_at.is_(None))
        .group_by(School.uai, School.name, links.c.class_name)
    )


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


@click.command("status")
@click.option("--school", "uai", metavar="UAI", help="Only this school.")
@AS_JSON
def command(uai: str | None, *, as_json: bool) -> None:
    """Show, for each school and class, who was printed a letter, activated, waits for a mail, or came too late."""
    try:
        rows = progress(uai.strip().upper() if uai else None)
        if as_json:
            _print_json(rows)
        elif sys.stdout.isatty():
            _print_tables(rows)
        else:
            _print_plain(rows)
    except Refused as refused:
        raise click.ClickException(plain(refused)) from refused


def _print_json(rows: Iterator[Progress]) -> None:
    """Print the array one object after the other: an académie is more than a screen."""
    opening = "["
    for row in rows:
        values = asdict(row)
        values["class"] = values.pop("class_name")
        click.echo(opening + dumped(values))
        opening = ","
    click.echo("]" if opening == "," else "[]")


_HEAD = ("class", "accounts", "printed", "activated", "waiting", "without mail", "expired", "never printed")


def _cells(row: Progress) -> list[str]:
    numbers = (
        row.accounts, row.printed, row.activated, row.waiting, row.without_mail, row.expired, row.never_printed,
    )  # fmt: skip
    return [plain(row.class_name) or "-", *map(str, numbers)]


def _print_plain(rows: Iterator[Progress]) -> None:
    for (uai, school), classes in groupby(rows, lambda row: (row.uai, row.school)):
        click.echo(f"{uai}  {plain(school)}")
        click.echo("  ".join(("", f"{_HEAD[0]:<20}", *_HEAD[1:])))
        for row in classes:
            name, *numbers = _cells(row)
            click.echo(
                "  ".join(("", f"{name:<20}", *(n.rjust(len(h)) for n, h in zip(numbers, _HEAD[1:], strict=True))))
            )


def _print_tables(rows: Iterator[Progress]) -> None:
    console = Console()
    for (uai, school), classes in groupby(rows, lambda row: (row.uai, row.school)):
        table = Table(title=Text(f"{uai}  {plain(school)}"), title_justify="left", box=None, padding=(0, 1, 0, 0))
        table.add_column(_HEAD[0], overflow="fold")
        for title in _HEAD[1:]:  # two words stand on two lines: all holds in the 80 columns of a terminal
            table.add_column(title.replace(" ", "\n"), justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        for row in classes:
            table.add_row(*map(Text, _cells(row)), _bar(row))
        console.print(table)
    console.print("[green]█[/] activated  [cyan]▓[/] letter in hand  [red]▒[/] expired  [dim]░[/] never printed")


def _bar(row: Progress) -> Text:
    """Return how far a class has come, as a picture: its parts are rounded so that together they are the whole bar."""
    bar, drawn, so_far = Text(), 0, 0
    parts = (
        ("█", "green", row.activated),
        ("▓", "cyan", row.in_hand),
        ("▒", "red", row.expired),
        ("░", "dim", row.never_printed),
    )
    for block, style, count in parts:
        so_far += count
        end = round(_BAR * so_far / row.accounts)
        bar.append(block * (end - drawn), style)
        drawn = end
    return bar
