"""`idp letters status`: how far each school and class has come, from the letter to the confirmed address.

Each account counts once in a school, under the class of its first child there, as its letter is sorted; a tie in
dispute counts under the class of its child, and an account that another school's dispute closes under its class here:
its letter is not over, no new one can be printed. The counts are made by the database, a few schools at a time.
"""

import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select
from sqlalchemy.orm import aliased

from idp.accounts import disputes
from idp.accounts.models import Account, Child, Guardianship, School, SchoolNotice
from idp.clock import now
from idp.db import db
from idp.letters.recipients import Refused, class_order
from idp.terminal import AS_JSON, dumped, plain
from idp.uai import normalised_uai

_SCHOOLS_AT_ONCE = 50
_BAR = 10
_FAMILY = 2
"""Accounts that one mailbox may serve without being counted: two parents share one."""


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
        disputed: Ties of pupils of the class whose guardian says not to be one, and that the school has not decided;
            and accounts that a dispute at another school closes.
        closed: Of the printed who did not activate, those that a dispute closes.
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
    disputed: int = 0
    closed: int = 0

    @property
    def in_hand(self) -> int:
        """Those who hold a letter that is good."""
        return self.printed - self.activated - self.expired - self.closed


@dataclass(frozen=True)
class Standing:
    """A school and its classes.

    Attributes:
        uai: The school.
        name: Its name.
        classes: Its classes that have accounts or disputed ties, in order.
        notices_open: Notices that it has not settled.
        shared_mailboxes: Confirmed mailboxes of its families that serve more than two accounts, here or elsewhere.
    """

    uai: str
    name: str
    classes: list[Progress]
    notices_open: int
    shared_mailboxes: int

    @property
    def disputed(self) -> int:
        """Ties in dispute and accounts that a dispute elsewhere closes, of all its classes."""
        return sum(row.disputed for row in self.classes)


def standings(uai: str | None = None) -> Iterator[Standing]:
    """Yield one school, or all, in order.

    Raises:
        Refused: there is no school of that UAI.
    """
    if uai is not None and db.session.scalar(select(School.id).where(School.uai == uai)) is None:
        raise Refused(f"no school {uai}")
    after = ""
    while True:
        schools = select(School.id, School.uai, School.name).order_by(School.uai).limit(_SCHOOLS_AT_ONCE)
        schools = schools.where(School.uai == uai) if uai is not None else schools.where(School.uai > after)
        some = db.session.execute(schools).all()
        yield from _standings(some) if some else []
        if uai is not None or len(some) < _SCHOOLS_AT_ONCE:
            return
        after = some[-1].uai


def _standings(schools: Sequence[Any]) -> list[Standing]:
    keys = [one.id for one in schools]
    classes = {(row.uai, row.class_name): row for row in (Progress(*row) for row in db.session.execute(_counted(keys)))}
    for uai, name, class_name, disputed in db.session.execute(_disputed(keys)):
        row = classes.get((uai, class_name)) or Progress(uai, name, class_name, *[0] * 7)
        classes[uai, class_name] = replace(row, disputed=row.disputed + disputed)
    notices, mailboxes = _by_school(_open_notices(keys)), _by_school(_shared_mailboxes(keys))
    rows = sorted(classes.values(), key=lambda row: (row.uai, class_order(row.class_name)))
    return [
        Standing(
            one.uai,
            one.name,
            [row for row in rows if row.uai == one.uai],
            notices.get(one.id, 0),
            mailboxes.get(one.id, 0),
        )
        for one in schools
    ]


def _by_school(counts: Select[uuid.UUID, int]) -> dict[uuid.UUID, int]:
    return dict(db.session.execute(counts).all())


def _disputed(schools: Sequence[uuid.UUID]) -> Select[str, str, str, int]:
    """Return the query that counts the ties in dispute of `schools`, by class."""
    return (
        select(School.uai, School.name, Child.class_name, func.count())
        .join(Child, Child.school_id == School.id)
        .join(Guardianship, Guardianship.child_id == Child.id)
        .where(School.id.in_(schools), Guardianship.disputed_at.is_not(None), Guardianship.ended_at.is_(None))
        .group_by(School.uai, School.name, Child.class_name)
    )


def _open_notices(schools: Sequence[uuid.UUID]) -> Select[uuid.UUID, int]:
    """Return the query that counts the open notices of `schools`."""
    return (
        select(SchoolNotice.school_id, func.count())
        .where(SchoolNotice.school_id.in_(schools), SchoolNotice.settled_at.is_(None))
        .group_by(SchoolNotice.school_id)
    )


def _shared_mailboxes(schools: Sequence[uuid.UUID]) -> Select[uuid.UUID, int]:
    """Return the query that counts the mailboxes of families of `schools` that serve more than two accounts."""
    used = (
        select(Child.school_id, Account.mailbox)
        .join(Guardianship, Guardianship.child_id == Child.id)
        .join(Account, Account.id == Guardianship.account_id)
        .where(
            Child.school_id.in_(schools),
            Guardianship.disputed_at.is_(None),
            Guardianship.ended_at.is_(None),
            Account.mailbox.is_not(None),
            Account.disabled_at.is_(None),
        )
        .distinct()
        .subquery()
    )
    served = aliased(Account)
    shared = (
        select(used.c.school_id, used.c.mailbox)
        .join(served, and_(served.mailbox == used.c.mailbox, served.disabled_at.is_(None)))
        .group_by(used.c.school_id, used.c.mailbox)
        .having(func.count() > _FAMILY)
        .subquery()
    )
    return select(shared.c.school_id, func.count()).group_by(shared.c.school_id)


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
    closed = disputes.has_disputed_tie()
    over = and_(~active, ~never, ~closed, or_(no_letter, Account.provisional_expires_at <= now()))
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
            _count(and_(closed, ~_is_disputed_in(links.c.school_id))),
            _count(and_(closed, ~active, ~never)),
        )
        .select_from(links)
        .join(Account, Account.id == links.c.account_id)
        .join(School, School.id == links.c.school_id)
        .where(links.c.nth == 1, Account.disabled_at.is_(None))
        .group_by(School.uai, School.name, links.c.class_name)
    )


def _is_disputed_in(school_id: ColumnElement[uuid.UUID]) -> ColumnElement[bool]:
    """Return the condition of the accounts whose disputed tie is one of this school."""
    ours = select(Child.id).where(Child.id == Guardianship.child_id, Child.school_id == school_id)
    return (
        exists()
        .where(
            Guardianship.account_id == Account.id,
            disputes.tie_is_disputed(),
            ours.correlate_except(Child).exists(),
        )
        .correlate_except(Guardianship)
    )


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


@click.command("status")
@click.option("--school", "uai", metavar="UAI", help="Only this school.")
@AS_JSON
def command(uai: str | None, *, as_json: bool) -> None:
    """Show, for each school and class, who was printed a letter, activated, waits for a mail, or came too late.

    For each school also its open notices (`idp school notices`), the ties in dispute (`idp account disputes`), and the
    mailboxes that serve more than two accounts.
    """
    try:
        schools = standings(normalised_uai(uai) if uai else None)
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
            click.echo(f"no pupil of {where} has an account: `idp roster import` brings them", err=True)
    except Refused as refused:
        raise click.ClickException(plain(refused)) from refused


def _print_json(schools: Iterator[Standing]) -> None:
    """Print the object one school after the other: an académie is more than a screen."""
    click.echo('{"schools": [', nl=False)
    opening = ""
    for school in schools:
        values = asdict(school)
        for row in values["classes"]:
            row["class"] = row.pop("class_name")
        click.echo(opening + dumped(values), nl=False)
        opening = ",\n"
    click.echo("]}")


_HEAD = ("class", "accounts", "printed", "activated", "waiting", "without mail", "expired", "never printed", "disputed")


def _cells(row: Progress) -> list[str]:
    numbers = (
        row.accounts, row.printed, row.activated, row.waiting, row.without_mail, row.expired, row.never_printed,
        row.disputed,
    )  # fmt: skip
    return [plain(row.class_name) or "-", *map(str, numbers)]


def _counts(school: Standing) -> str:
    return (
        f"  open notices: {school.notices_open}, mailboxes of more than two accounts: {school.shared_mailboxes}, "
        f"disputed ties: {school.disputed}"
    )


def _print_plain(school: Standing) -> None:
    click.echo(f"{school.uai}  {plain(school.name)}")
    click.echo("  ".join(("", f"{_HEAD[0]:<20}", *_HEAD[1:])))
    for row in school.classes:
        name, *numbers = _cells(row)
        click.echo("  ".join(("", f"{name:<20}", *(n.rjust(len(h)) for n, h in zip(numbers, _HEAD[1:], strict=True)))))
    click.echo(_counts(school))


def _print_table(school: Standing) -> None:
    title = Text(f"{school.uai}  {plain(school.name)}")
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column(_HEAD[0], overflow="fold")
    for head in _HEAD[1:]:  # two words stand on two lines: all holds in the 80 columns of a terminal
        table.add_column(head.replace(" ", "\n"), justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in school.classes:
        table.add_row(*map(Text, _cells(row)), _bar(row))
    console = Console()
    console.print(table)
    console.print(Text(_counts(school)))


def _print_legend() -> None:
    legend = "[green]█[/] activated  [cyan]▓[/] letter in hand  [red]▒[/] expired  [dim]░[/] never printed"
    Console().print(legend)


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
        end = round(_BAR * so_far / max(row.accounts, 1))  # a class may have ties in dispute alone
        bar.append(block * (end - drawn), style)
        drawn = end
    return bar
