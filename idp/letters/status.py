"""`idp letters status`: counts, for each school and class, from the printed letter to the confirmed email.

An account counts once in a school, under the class of its first child there. A disputed tie counts under the class of
its child. An account that a dispute at another school closes counts as disputed under its class here: its letter has
not expired, but no new one can be printed. The database counts, a few schools at a time.
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
from idp.letters.recipients import PrintError, class_order
from idp.terminal import AS_JSON, dumped, plain
from idp.uai import normalised_uai

_SCHOOLS_AT_ONCE = 50
_BAR = 10
_FAMILY = 2
"""Accounts that may share a mailbox without being reported: two parents."""


@dataclass(frozen=True)
class ClassStatus:
    """The counts of a class.

    Attributes:
        uai: the school.
        school: its name.
        class_name: the class.
        accounts: accounts that are not disabled.
        printed: accounts with a letter, valid or not.
        activated: printed accounts with a password.
        waiting: activated accounts whose email is not confirmed.
        without_mail: activated accounts without any email.
        expired: accounts whose letter expired or was replaced before it was used.
        never_printed: accounts without any letter.
        disputed: open disputed ties of pupils of the class, and accounts that a dispute at another school closes.
        closed: printed accounts, not activated, that a dispute closes.
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
        """The accounts with a valid letter."""
        return self.printed - self.activated - self.expired - self.closed


@dataclass(frozen=True)
class SchoolStatus:
    """The counts of a school.

    Attributes:
        uai: the school.
        name: its name.
        classes: its classes with accounts or disputed ties, sorted.
        notices_open: notices that the school has not settled.
        shared_mailboxes: confirmed mailboxes of its families with more than two accounts, in any school.
    """

    uai: str
    name: str
    classes: list[ClassStatus]
    notices_open: int
    shared_mailboxes: int

    @property
    def disputed(self) -> int:
        """The sum of `ClassStatus.disputed`."""
        return sum(row.disputed for row in self.classes)


def school_statuses(uai: str | None = None) -> Iterator[SchoolStatus]:
    """Yield the counts of one school, or of all, sorted by UAI.

    Raises:
        PrintError: the school is unknown.
    """
    if uai is not None and db.session.scalar(select(School.id).where(School.uai == uai)) is None:
        raise PrintError(f"no school {uai}")
    after = ""
    while True:
        schools = select(School.id, School.uai, School.name).order_by(School.uai).limit(_SCHOOLS_AT_ONCE)
        schools = schools.where(School.uai == uai) if uai is not None else schools.where(School.uai > after)
        batch = db.session.execute(schools).all()
        yield from _statuses(batch) if batch else []
        if uai is not None or len(batch) < _SCHOOLS_AT_ONCE:
            return
        after = batch[-1].uai


def _statuses(schools: Sequence[Any]) -> list[SchoolStatus]:
    keys = [entry.id for entry in schools]
    classes = {
        (row.uai, row.class_name): row for row in (ClassStatus(*row) for row in db.session.execute(_counted(keys)))
    }
    for uai, name, class_name, disputed in db.session.execute(_disputed(keys)):
        row = classes.get((uai, class_name)) or ClassStatus(uai, name, class_name, *[0] * 7)
        classes[uai, class_name] = replace(row, disputed=row.disputed + disputed)
    notices, mailboxes = _by_school(_open_notices(keys)), _by_school(_shared_mailboxes(keys))
    rows = sorted(classes.values(), key=lambda row: (row.uai, class_order(row.class_name)))
    return [
        SchoolStatus(
            entry.uai,
            entry.name,
            [row for row in rows if row.uai == entry.uai],
            notices.get(entry.id, 0),
            mailboxes.get(entry.id, 0),
        )
        for entry in schools
    ]


def _by_school(counts: Select[uuid.UUID, int]) -> dict[uuid.UUID, int]:
    return dict(db.session.execute(counts).all())


def _disputed(schools: Sequence[uuid.UUID]) -> Select[str, str, str, int]:
    """Return the query that counts the disputed ties of `schools`, by class."""
    return (
        select(School.uai, School.name, Child.class_name, func.count())
        .join(Child, Child.school_id == School.id)
        .join(Guardianship, Guardianship.child_id == Child.id)
        .where(School.id.in_(schools), Guardianship.is_disputed)
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
    """Return the query that counts the mailboxes of families of `schools` with more than two accounts."""
    used = (
        select(Child.school_id, Account.mailbox)
        .join(Guardianship, Guardianship.child_id == Child.id)
        .join(Account, Account.id == Guardianship.account_id)
        .where(
            Child.school_id.in_(schools),
            Guardianship.is_undisputed,
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
        .where(Child.school_id.in_(schools), Guardianship.is_undisputed)
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
    """Return the condition that selects accounts with a disputed tie in this school."""
    ours = select(Child.id).where(Child.id == Guardianship.child_id, Child.school_id == school_id)
    return (
        exists()
        .where(
            Guardianship.account_id == Account.id,
            Guardianship.is_disputed,
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
    """Count, for each school and class, the accounts that are printed, activated, unconfirmed or expired.

    Also the open notices (`idp school notices`), the disputed ties (`idp account disputes`) and the mailboxes of more
    than two accounts of each school.
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
        for row in values["classes"]:
            row["class"] = row.pop("class_name")
        click.echo(opening + dumped(values), nl=False)
        opening = ",\n"
    click.echo("]}")


_HEAD = ("class", "accounts", "printed", "activated", "waiting", "without mail", "expired", "never printed", "disputed")


def _cells(row: ClassStatus) -> list[str]:
    numbers = (
        row.accounts, row.printed, row.activated, row.waiting, row.without_mail, row.expired, row.never_printed,
        row.disputed,
    )  # fmt: skip
    return [plain(row.class_name) or "-", *map(str, numbers)]


def _counts(school: SchoolStatus) -> str:
    return (
        f"  open notices: {school.notices_open}, mailboxes of more than two accounts: {school.shared_mailboxes}, "
        f"disputed ties: {school.disputed}"
    )


def _print_plain(school: SchoolStatus) -> None:
    click.echo(f"{school.uai}  {plain(school.name)}")
    click.echo("  ".join(("", f"{_HEAD[0]:<20}", *_HEAD[1:])))
    for row in school.classes:
        name, *numbers = _cells(row)
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
    console = Console()
    console.print(table)
    console.print(Text(_counts(school)))


def _print_legend() -> None:
    legend = "[green]█[/] activated  [cyan]▓[/] letter in hand  [red]▒[/] expired  [dim]░[/] never printed"
    Console().print(legend)


def _bar(row: ClassStatus) -> Text:
    """Return the counts of a class as a bar; sums are rounded, so that the bar is always complete."""
    bar, drawn, so_far = Text(), 0, 0
    parts = (
        ("█", "green", row.activated),
        ("▓", "cyan", row.in_hand),
        ("▒", "red", row.expired),
        ("░", "dim", row.never_printed),
    )
    for block, style, count in parts:
        so_far += count
        end = round(_BAR * so_far / max(row.accounts, 1))  # a class may have disputed ties only
        bar.append(block * (end - drawn), style)
        drawn = end
    return bar
