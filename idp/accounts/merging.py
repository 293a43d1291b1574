"""Two accounts of one person: whether they are, what moves when they are merged, and what goes back.

A letter's account is merged into its person's other account. The caller has locked both rows, in the order of their
ids. `Merge` has the children and the keys of the school files that moved. What an import brings later goes back with
the next import, because the keys do.

Namesakes live in one town: equal names alone do not say that two accounts are one person's.
"""

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, or_, select, update

from idp.accounts import closing_acts, directory, notices, school_notices
from idp.accounts.closings import Closing, Kind as ClosingKind, Wait
from idp.accounts.models import Account, Child, Guardianship, Merge, RosterAlias, School, SchoolNotice
from idp.accounts.notices import Notice
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.events import LetterLinked
from idp.clock import now
from idp.config import Settings
from idp.db import Base, db
from idp.folding import PARTICLES, civility, fold, words_of_name
from idp.mail.emails import fold_email

_BY, _ADDED = "parent", "the letter was added"


def merge(settings: Settings, mine: Account, other: Account, decided: SchoolNotice | None = None) -> None:
    """Move the children and keys of `other`, the account of a letter, to `mine`, and void the letter.

    All schools of `other` are asked whether that is right, except the one whose answer to a notice `decided` it. Mails
    tell both people, if they are two.
    """
    moment, schools = now(), directory.schools_of_ties(other)
    children = _movable(mine.id, other.id)
    _move_ties(other.id, mine.id, children)
    _drop_waiting(other.id)
    school_notices.settle_waits(other.id, by=_BY, sentence=_ADDED)
    key, aliases = _move_keys(mine.id, other)
    other.merge = Merge(into=mine, children=[child.hex for child in children], roster_key=key, aliases=aliases)
    _tell_mailboxes(settings, mine, other, schools)
    school_notices.end_contest(other)
    other.provisional_hash = other.provisional_expires_at = None
    other.disabled_at = moment
    other.credentials_changed()
    mine.updated_at = moment
    school_notices.settle(other.id, by=_BY, sentence=_ADDED, kinds=(Kind.LETTER_DOUBT,))
    asked = [school.id for school in schools if decided is None or school.id != decided.school_id]
    school_notices.add(Kind.LETTER_DOUBT, other.id, asked, other_account_id=mine.id)
    uais, notice = [school.uai for school in schools], str(decided.id) if decided else ""
    log.record(LetterLinked(account_id=mine.id, other=str(other.id), uais=uais, notice=notice))


def _tell_mailboxes(settings: Settings, mine: Account, other: Account, schools: Sequence[School]) -> None:
    """Tell `mine`, and once each other mailbox of `other`: its last one, which its letter took away, and the file's.

    While the address is contested, the mailbox before it may be the person's as well.
    """
    notices.tell(Notice.LETTER_LINKED, mine.id)
    contest, former = closing_acts.contest_of(other.id), sorted(other.former_mailboxes, key=lambda row: row.left_at)
    mails = [
        (directory.email_of_file(other), Notice.LETTER_ELSEWHERE),
        *((row.mailbox, Notice.MERGED) for row in former[-1:]),
        (contest.email if contest else None, Notice.MERGED),
    ]
    by_mailbox = {fold_email(email): (notice, email) for email, notice in mails if email}
    by_mailbox.pop(mine.mailbox or "", None)
    for notice, email in by_mailbox.values():
        notices.tell_at(settings, notice, other, email, school=str(schools[0].id) if schools else "")


def give_back(mine: Account, other: Account, *, by: str, sentence: str) -> Sequence[School]:
    """Give `other` back what moved, enable it without a letter, and answer all schools that were asked about the two.

    Closings go with their tie, also later ones: what a school closed stays closed. A later dispute, and an
    exclusion that confirmed it, were about the person of `mine`. Return the schools of these children.
    """
    merged = db.session.get_one(Merge, other.id)
    children = [uuid.UUID(key) for key in merged.children]
    left_at = select(Child.left_at).where(Child.id == Guardianship.child_id).scalar_subquery()
    since = Closing.account_id == mine.id, Closing.begun_at > other.disabled_at
    excluded = select(Closing.child_id).where(*since, Closing.kind == ClosingKind.EXCLUDED, Closing.ended_at.is_(None))
    later = [key for key in db.session.scalars(excluded) if key in children]
    _update(Guardianship, Guardianship.account_id == mine.id, Guardianship.child_id.in_(later), ended_at=left_at)
    closing_acts.end(mine.id, [ClosingKind.EXCLUDED], by=by, reason=sentence, children=later)
    closing_acts.end(mine.id, [ClosingKind.DISPUTED], by=by, reason=sentence, children=children)
    _move_ties(mine.id, other.id, children)
    school_notices.settle_waits(mine.id, by=by, sentence=sentence)
    _return_keys(mine.id, other, merged)
    other.merge = other.disabled_at = None
    other.credentials_changed()
    mine.updated_at = now()
    asked = SchoolNotice.account_id == other.id, SchoolNotice.other_account_id == mine.id
    of_kind = SchoolNotice.kind == Kind.LETTER_DOUBT.value
    _update(SchoolNotice, *asked, of_kind, settled_at=now(), settled_by=by[:80], sentence=sentence[:500])
    of_children = select(Child.school_id).where(Child.id.in_(children))
    return db.session.scalars(select(School).where(School.id.in_(of_children)).order_by(School.uai)).all()


def _move_keys(mine: uuid.UUID, other: Account) -> tuple[str | None, list[str]]:
    """Make the school files' keys of the other account lead to this one, so that no import creates a second account.

    Return the account's own key and its aliases.
    """
    aliases = list(db.session.scalars(select(RosterAlias.roster_key).where(RosterAlias.account_id == other.id)))
    _update(RosterAlias, RosterAlias.account_id == other.id, account_id=mine)
    key, other.roster_key = other.roster_key, None
    if key is not None:
        db.session.add(RosterAlias(roster_key=key, account_id=mine))
    return key, aliases


def _return_keys(mine: uuid.UUID, other: Account, merged: Merge) -> None:
    """Return the keys, except those that a file gave to somebody else meanwhile."""
    here = RosterAlias.account_id == mine
    _update(RosterAlias, here, RosterAlias.roster_key.in_(merged.aliases), account_id=other.id)
    is_own = RosterAlias.roster_key == merged.roster_key
    own = delete(RosterAlias).where(here, is_own).returning(RosterAlias.roster_key)
    other.roster_key = db.session.scalar(own.execution_options(synchronize_session=False))


def _movable(mine: uuid.UUID, other: uuid.UUID) -> Sequence[uuid.UUID]:
    """Return the children of `other`, except those that `mine` already has, and those in dispute.

    A tie that the school excluded or closed moves too, also if a file has ended it, and such a tie of this account is
    not replaced: merging accounts reopens no tie that a school closed.
    """
    closed_as = Guardianship.where_closed_as
    kept_out = or_(closed_as(ClosingKind.EXCLUDED), closed_as(Wait.RETURNED))
    theirs = _children(other).where(or_(Guardianship.is_unended, kept_out))
    db.session.execute(  # a tie of this account that has ended is replaced by one that holds
        delete(Guardianship)
        .where(
            Guardianship.account_id == mine,
            ~Guardianship.is_unended,
            ~Guardianship.where_closed(now()),
            Guardianship.child_id.in_(theirs),
        )
        .execution_options(synchronize_session=False)
    )
    moving = theirs.where(~closed_as(ClosingKind.DISPUTED), Guardianship.child_id.not_in(_children(mine)))
    return db.session.scalars(moving.order_by(Guardianship.rank)).all()


def _move_ties(source: uuid.UUID, target: uuid.UUID, children: Sequence[uuid.UUID]) -> None:
    """Move ties behind those of `target`, with what closes them; its heads are asked about those that wait."""
    last = db.session.scalar(select(func.max(Guardianship.rank)).where(Guardianship.account_id == target))
    for rank, child_id in enumerate(children, start=0 if last is None else last + 1):
        tie = Guardianship.account_id == source, Guardianship.child_id == child_id
        _update(Guardianship, *tie, account_id=target, rank=rank)
    _update(Closing, Closing.account_id == source, Closing.child_id.in_(children), account_id=target)
    rows = db.session.execute(
        select(Child.school_id, Child.id)
        .join(Closing, Closing.child_id == Child.id)
        .where(Closing.account_id == target, Child.id.in_(children), Closing.where_waiting(now()))
        .order_by(Child.id)
    )
    waits: dict[uuid.UUID, list[uuid.UUID]] = {}
    for school_id, child_id in rows:
        waits.setdefault(school_id, []).append(child_id)
    school_notices.add(Kind.GUARDIAN_WAITS, target, waits)


def _drop_waiting(account_id: uuid.UUID) -> None:
    """Remove the ties that wait for the head and do not move: `mine` has their pupils. A file may bring them again."""
    children = closing_acts.end(account_id, list(Wait), by=_BY, reason=_ADDED)
    db.session.execute(
        delete(Guardianship)
        .where(Guardianship.account_id == account_id, Guardianship.child_id.in_(children))
        .execution_options(synchronize_session=False)
    )


def _children(account_id: uuid.UUID) -> Select[uuid.UUID]:
    return select(Guardianship.child_id).where(Guardianship.account_id == account_id)


def _update(table: type[Base], *conditions: ColumnElement[bool], **values: Any) -> None:
    db.session.execute(update(table).where(*conditions).values(**values).execution_options(synchronize_session=False))


def surely_one_person(mine: Account, other: Account) -> bool:
    """Return whether the names agree and so does something else; in any other case the school decides.

    That is the whole postal address, a mailbox that `mine` has confirmed and the file gives to `other`, a pupil, or
    another guardian of a pupil. Each is a guardian of the own pupils: one question answers the last two.
    """
    if not same_person(mine, other):
        return False
    email, home = directory.email_of_file(other), _home(mine)
    if (email is not None and fold_email(email) == mine.mailbox) or (home is not None and home == _home(other)):
        return True
    common = _guardians(mine.id).where(Guardianship.account_id.in_(_guardians(other.id)))
    return db.session.scalar(common.limit(1)) is not None


def _home(account: Account) -> tuple[str, ...] | None:
    """Return the letters and digits of the whole postal address; None if a part of it is missing."""
    parts = " ".join(account.address_lines), account.postcode, account.city
    folded = tuple("".join(c for c in fold(part) if c.isalnum()) for part in parts)
    return folded if all(folded) else None


def _guardians(account_id: uuid.UUID) -> Select[uuid.UUID]:
    """Return the guardians of an account's pupils; disputed ties do not count."""
    disputed = Guardianship.where_closed_as(ClosingKind.DISPUTED)
    undisputed = select(Guardianship.account_id).where(Guardianship.is_unended, ~disputed)
    pupils = undisputed.with_only_columns(Guardianship.child_id).where(Guardianship.account_id == account_id)
    return undisputed.where(Guardianship.child_id.in_(pupils))


def same_person(first: Account, second: Account) -> bool:
    """Return whether the given names agree, and a family name (usual or birth) of one is a family name of the other.

    Case, accents, apostrophes and spaces do not count. One file may have more given names than the other, and a family
    name may be a part of a double one. Jean-Pierre is not Jean-Paul, nor M. Dominique Mme Dominique. Names that do not
    agree may still be one person's: the school decides.
    """
    if civilities_differ(first, second):
        return False
    return _same_given_name(first.given_name, second.given_name) and shares_a_family_name(first, second)


def shares_a_name(first: Account, second: Account) -> bool:
    """Return whether the given name or a family name agrees: enough for a pupil's key, not for a guardian's account."""
    return _same_given_name(first.given_name, second.given_name) or shares_a_family_name(first, second)


def shares_a_family_name(first: Account, second: Account) -> bool:
    """Return whether a family name (usual or birth) of one person is a family name of the other, or a part of it."""
    return any(_is_part(mine, theirs) for mine in _family_names(first) for theirs in _family_names(second))


def civilities_differ(first: Account, second: Account) -> bool:
    """Return whether both civilities are known and differ."""
    return len({civility(first.civility or ""), civility(second.civility or "")} - {""}) > 1


def _same_given_name(first: str, second: str) -> bool:
    """Return whether one given name equals or begins the other: « Anne » and « Anne Marie », not « Anne-Marie »."""
    if words_of_name(first) and words_of_name(first) == words_of_name(second):
        return True
    ours, theirs = (["".join(words_of_name(part)) for part in name.split()] for name in (first, second))
    shared = min(len(ours), len(theirs))
    return shared > 0 and all(ours) and all(theirs) and ours[:shared] == theirs[:shared]


def _is_part(first: frozenset[str], second: frozenset[str]) -> bool:
    """Return whether one name contains the other; a particle alone (« de ») does not count."""
    shorter = min(first, second, key=len)
    return (first <= second or second <= first) and not shorter <= PARTICLES


def _family_names(account: Account) -> Iterator[frozenset[str]]:
    for name in (account.family_name, account.birth_name):
        if parts := words_of_name(name):
            yield frozenset(parts)
