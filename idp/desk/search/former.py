"""Finds former guardians: people whom the school's file no longer names for a pupil of the school."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import exists, or_, select

from idp.accounts.models import Account, Child, Guardianship
from idp.accounts.suspensions.models import Suspension
from idp.db import db, one_of
from idp.desk import access, ties
from idp.desk.search.terms import Terms, condition
from idp.folding import fold

_FIRST_DAY = timedelta(days=1)
"""How long after the pupil's arrival a tie is taken for one that ended by it: the file names other guardians."""
MOST = 20
"""The most former guardians that a search names."""


@dataclass(frozen=True)
class Former:
    """A former guardian of a pupil: the account's page is no longer the school's, the pupil's is."""

    name: str
    child: Child


def find(terms: Terms) -> list[Former]:
    """Return the former guardians of pupils of the post's school who have the words; none for another post.

    The ended ties of the school come first: they are few, and only their people are compared. The pupil may have come
    from another school, with ties that ended there. So the school is told only of people whom it knew: it printed their
    last letter, for this pupil or another one, and the tie ended after the pupil's first day here; or it suspended the
    tie, which it also does if it took the decision over from the former school.
    """
    school = access.post().school
    if school is None or terms.is_empty:
        return []
    suspended = exists().where(
        Suspension.account_id == Guardianship.account_id,
        Suspension.child_id == Guardianship.child_id,
        Suspension.school_id == school.id,
    )
    rows = db.session.execute(
        select(Account.id, Guardianship.child_id, Guardianship.ended_at, Child.moved_at, suspended)
        .join(Guardianship, Guardianship.account_id == Account.id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(access.children(), ties.are_former(), or_(Account.letter_school_id == school.id, suspended))
    ).all()
    ended = [row[:2] for row in rows if row[4] or _ended_here(row[2], row[3])]
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


def _ended_here(ended_at: datetime | None, moved_at: datetime | None) -> bool:
    """Return whether a tie ended while the pupil was in the present school; most pupils never came from another."""
    return moved_at is None or (ended_at is not None and ended_at > moved_at + _FIRST_DAY)
