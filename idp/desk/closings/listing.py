"""The closings that hold in scope, for `/suspensions` and its tile, and the actions on the page of an account."""

from collections.abc import Iterator
from dataclasses import dataclass

from flask import url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from sqlalchemy import func, select

from idp.accounts.closings import Closing
from idp.accounts.models import Account, Child, Guardianship
from idp.db import db
from idp.desk import decisions, home, ties
from idp.desk.access import Right
from idp.desk.decisions import Shown
from idp.desk.families import subjects
from idp.desk.families.subjects import Action, Subject
from idp.desk.home import Tile
from idp.desk.naming import account_urls
from idp.families.standing import Standing

_MOST = 50


@dataclass(frozen=True)
class Line:
    """A closing with the person whom it closes out.

    `is_former` says that the files no longer name the person for the pupil. `url` is the page of the account. If the
    post may not open the account any more, it is that of the pupil, or the page that reopens the account, if any.
    """

    account: Account
    item: Shown
    is_former: bool
    url: str


@dataclass(frozen=True)
class Page:
    """The closings of a page, the youngest first, the number of all, and the URL of the next page or ""."""

    lines: list[Line]
    count: int
    following: str


def page(number: int) -> Page:
    """Return a page of the closings; a number beyond the last page stands for the last one."""
    count = _count()
    number = min(max(number, 1), max(-(-count // _MOST), 1))
    is_former = (
        select(ties.are_former())
        .select_from(Guardianship)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Guardianship.account_id == Closing.account_id, Guardianship.child_id == Closing.child_id)
        .correlate(Closing)
        .scalar_subquery()
    )
    chosen = (
        select(Closing, Account, is_former)
        .join(Account, Account.id == Closing.account_id)
        .where(decisions.holding_here())
        .order_by(Closing.begun_at.desc(), Closing.id)
        .limit(_MOST)
        .offset((number - 1) * _MOST)
    )
    rows = db.session.execute(chosen).all()
    shown = decisions.all_shown([row for row, _, _ in rows])
    urls = account_urls({account.id for _, account, _ in rows})
    lines = [
        Line(account, item, bool(former), urls.get(account.id) or _url(item))
        for (_, account, former), item in zip(rows, shown, strict=True)
    ]
    return Page(lines, count, url_for("closings.show", page=number + 1) if number * _MOST < count else "")


def _url(item: Shown) -> str:
    return url_for("accounts.family", pupil=item.row.child_id) if item.is_tie else item.reopening_url


def _count() -> int:
    joined = select(func.count()).select_from(Closing).join(Account, Account.id == Closing.account_id)
    return db.session.scalar(joined.where(decisions.holding_here())) or 0


@home.source(Right.CLOSE)
def waiting() -> Iterator[Tile]:
    """Yield the tile of the closings."""
    yield Tile(
        _count(),
        gettext("Suspensions en cours"),
        gettext("Les comptes et les liens suspendus, jusqu’à quand et par qui."),
        url_for("closings.show"),
    )


def _page(subject: Subject) -> str:
    """Return the URL of « Suspendre l’accès », where all decisions are, also if a colleague has just reopened one."""
    return url_for("closings.close", account=subject.account.id)


def _reopenings(subject: Subject) -> Iterator[str]:
    """Yield the URLs that reopen the whole account; the note about a closed tie has its own."""
    return (item.reopening_url for item in subject.decisions if item.may_reopen and not item.is_tie)


subjects.register(
    Action(
        key="close",
        right=Right.CLOSE,
        label=_l("Suspendre"),
        url=_page,
        is_offered=lambda subject: subject.standing is not Standing.MERGED,
        rank=80,
    )
)
subjects.register(
    Action(
        key="reopen",
        right=Right.REOPEN,
        label=_l("Rouvrir tout le compte"),
        url=lambda subject: next(_reopenings(subject), _page(subject)),
        is_offered=lambda subject: any(_reopenings(subject)),
        rank=70,
    )
)
