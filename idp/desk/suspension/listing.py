"""The suspensions that hold in scope, for `/suspensions` and its tile on the first page."""

from collections.abc import Iterator
from dataclasses import dataclass

from flask import url_for
from flask_babel import gettext
from sqlalchemy import func, select

from idp.accounts.models import Account, Child, Guardianship
from idp.accounts.suspensions.models import Suspension
from idp.db import db
from idp.desk import home, suspended, ties
from idp.desk.access import Right
from idp.desk.home import Tile
from idp.desk.naming import account_urls
from idp.desk.suspended import Shown

_MOST = 50


@dataclass(frozen=True)
class Line:
    """A suspension with the person whom it closes out.

    `is_former` says that the files no longer name the person for the pupil. `url` is the page of the account. If the
    post may not open the account any more, it is that of the pupil, or the page that reopens the account, if any.
    """

    account: Account
    item: Shown
    is_former: bool
    url: str


@dataclass(frozen=True)
class Page:
    """The suspensions of a page, the youngest first, the number of all, and the URL of the next page or ""."""

    lines: list[Line]
    count: int
    following: str


def page(number: int) -> Page:
    """Return a page of the suspensions; a number beyond the last page stands for the last one."""
    count = _count()
    number = min(max(number, 1), max(-(-count // _MOST), 1))
    is_former = (
        select(ties.are_former())
        .select_from(Guardianship)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Guardianship.account_id == Suspension.account_id, Guardianship.child_id == Suspension.child_id)
        .correlate(Suspension)
        .scalar_subquery()
    )
    chosen = (
        select(Suspension, Account, is_former)
        .join(Account, Account.id == Suspension.account_id)
        .where(suspended.holding_here())
        .order_by(Suspension.begins_at.desc(), Suspension.id)
        .limit(_MOST)
        .offset((number - 1) * _MOST)
    )
    rows = db.session.execute(chosen).all()
    shown = suspended.all_shown([row for row, _, _ in rows])
    urls = account_urls({account.id for _, account, _ in rows})
    lines = [
        Line(account, item, bool(former), urls.get(account.id) or _url(item))
        for (_, account, former), item in zip(rows, shown, strict=True)
    ]
    return Page(lines, count, url_for("suspension.show", page=number + 1) if number * _MOST < count else "")


def _url(item: Shown) -> str:
    return url_for("accounts.family", pupil=item.row.child_id) if item.is_tie else item.reopening_url


def _count() -> int:
    joined = select(func.count()).select_from(Suspension).join(Account, Account.id == Suspension.account_id)
    return db.session.scalar(joined.where(suspended.holding_here())) or 0


@home.source(Right.SUSPEND)
def waiting() -> Iterator[Tile]:
    """Yield the tile of the suspensions."""
    yield Tile(
        _count(),
        gettext("Suspensions en cours"),
        gettext("Les comptes et les liens suspendus, jusqu’à quand et par qui."),
        url_for("suspension.show"),
    )
