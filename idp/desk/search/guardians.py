"""The guardians in the rows of a search with the states of their accounts and ties, and former guardians."""

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import defer, lazyload, selectinload, undefer

from idp.accounts.closings import Closing, Kind
from idp.accounts.models import Account, Child, Guardianship
from idp.db import db, one_of
from idp.desk import access, ties, uncollected_letters, words
from idp.desk.search.query import Terms, condition
from idp.desk.ties import CutOff
from idp.desk.words import Words
from idp.families.standing import Standing, foremost, standings
from idp.folding import fold
from idp.services import services

OF_ACCOUNT = (
    defer(Account.search_text), defer(Account.address_lines), defer(Account.more_claims),
    undefer(Account.inactive_warned_at), selectinload(Account.merge), lazyload(Account.guardianships),
)  # fmt: skip
"""Without what the rows of a search do not show."""


@dataclass(frozen=True)
class Guardian:
    """A guardian of a row, with the standing that decides what to do, and the state of the tie to its pupil.

    `cut_off` is why the person has no open tie in scope. `closed_as` are the kinds of the rows that close the tie,
    which `is_waiting` if it only waits for the head; without a pupil, DISPUTED if any tie is. `is_uncollected` says
    that nobody took the file of the letter, which is erased.
    """

    account: Account
    standing: Standing
    cut_off: CutOff | None = None
    closed_as: frozenset[str] = frozenset()
    is_waiting: bool = False
    is_uncollected: bool = False

    @property
    def words(self) -> Words:
        """The words of the account's state."""
        return words.of(self.standing, self.cut_off, is_uncollected=self.is_uncollected)


def of_pupils(children: Collection[Child]) -> dict[uuid.UUID, list[Guardian]]:
    """Return the guardians of each pupil whose tie is shown to the school, in the order of the school's file."""
    keys = [child.id for child in children]
    rows = db.session.execute(
        select(Guardianship, Account, ties.wait_for_head())
        .join(Account, Account.id == Guardianship.account_id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(one_of(Guardianship.child_id, keys), ties.are_shown())
        .order_by(Guardianship.authority, Account.family_name, Account.given_name)
        .options(*OF_ACCOUNT, lazyload(Guardianship.child), selectinload(Guardianship.closings))
    ).all()
    known = of_accounts(account for _, account, _ in rows)
    grouped: dict[uuid.UUID, list[Guardian]] = {key: [] for key in keys}
    for tie, account, is_waiting in rows:
        shown = replace(known[account.id], closed_as=tie.closed_as(), is_waiting=is_waiting)
        grouped[tie.child_id].append(shown)
    return grouped


def of_accounts(accounts: Iterable[Account]) -> dict[uuid.UUID, Guardian]:
    """Return accounts as guardians without a pupil, by key."""
    by_key = {account.id: account for account in accounts}
    _read_ties(account for account in by_key.values() if account.has_left)
    if not by_key:
        return {}
    cut_off = ties.cut_off_among(by_key, access.children())
    with_letter = [key for key, account in by_key.items() if account.provisional_hash and not account.activated_at]
    unprinted = uncollected_letters.among(services().settings, with_letter) if with_letter else set()
    return {
        key: Guardian(
            account,
            foremost(standings(account)),
            cut_off.get(key),
            frozenset({Kind.DISPUTED} if account.has_disputed_tie else ()),
            is_uncollected=key in unprinted,
        )
        for key, account in by_key.items()
    }


def _read_ties(accounts: Iterable[Account]) -> None:
    if closed := [account.id for account in accounts]:
        with_ties = select(Account).where(one_of(Account.id, closed)).execution_options(populate_existing=True)
        ties_of = selectinload(Account.guardianships).options(
            lazyload(Guardianship.child), selectinload(Guardianship.closings)
        )
        db.session.scalars(with_ties.options(*OF_ACCOUNT[:-1], ties_of)).all()


# How long after the pupil's arrival a tie is taken for one that ended by it: the file names other guardians.
_FIRST_DAY = timedelta(days=1)
MOST = 20


@dataclass(frozen=True)
class Former:
    """A former guardian of a pupil: the account's page is no longer the school's, the pupil's is."""

    name: str
    child: Child


def find(terms: Terms) -> list[Former]:
    """Return the former guardians of pupils of the post's school who have the words; none for another post.

    The ended ties of the school come first: they are few, and only their people are compared. The pupil may have come
    from another school, with ties that ended there. So the school is told only of people whom it knew: it printed their
    last letter, for this pupil or another one, and the tie ended after the pupil's first day here; or it closed the
    tie, which it also does if it took the decision over from the former school.
    """
    school = access.post().school
    if school is None or terms.is_empty:
        return []
    closed = exists().where(
        Closing.account_id == Guardianship.account_id,
        Closing.child_id == Guardianship.child_id,
        Closing.school_id == school.id,
    )
    rows = db.session.execute(
        select(Account.id, Guardianship.child_id, Guardianship.ended_at, Child.moved_at, closed)
        .join(Guardianship, Guardianship.account_id == Account.id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(access.children(), ties.are_former(), or_(Account.letter_school_id == school.id, closed))
    ).all()
    # most pupils never came from another school: their ties ended in the present one
    ended = [
        (account, child)
        for account, child, ended_at, moved_at, is_closed in rows
        if is_closed or moved_at is None or (ended_at is not None and ended_at > moved_at + _FIRST_DAY)
    ]
    if not ended:
        return []
    step = terms.whole() if terms.is_short else terms.beginnings()
    keys = sorted({account for account, _ in ended})
    named = db.session.scalars(select(Account).where(one_of(Account.id, keys), condition(Account.search_text, step)))
    people = {account.id: account for account in named}
    named_pairs = sorted(
        ((people[account], child) for account, child in ended if account in people),
        key=lambda pair: fold(f"{pair[0].family_name} {pair[0].given_name}"),
    )[:MOST]
    pupils = {
        row.id: row for row in db.session.scalars(select(Child).where(Child.id.in_({key for _, key in named_pairs})))
    }
    return [Former(account.display_name, pupils[key]) for account, key in named_pairs if key in pupils]
