"""Finds people, and says of them what a page or a rule needs to know."""

import hashlib
import unicodedata
import uuid
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, or_, select

from idp.accounts.models import Account, Child, Guardianship, School
from idp.db import db
from idp.folding import fold
from idp.web.telling import Tellable


def find_by_username(username: str) -> Account | None:
    """Return the account of a folded identifier."""
    return db.session.scalar(select(Account).where(Account.username == username))


def name_key(given_name: str, family_name: str) -> str:
    """Return the value under which people of the same names are found: letters and digits, without accents nor case."""
    words = ("".join(c for c in fold(name) if c.isalnum()) for name in (given_name, family_name))
    return hashlib.blake2b("|".join(words).encode(), digest_size=16).hexdigest()


def get_for_change(account_id: uuid.UUID) -> Account | None:
    """Return the account, its row locked until the caller's transaction ends, as the database has it now."""
    account: Account | None = db.session.scalar(locking(select(Account), account_id))
    return account


def locking(statement: Select[*tuple[Any, ...]], account_id: uuid.UUID) -> Select[*tuple[Any, ...]]:
    """Return a statement that selects `Account` so that it locks the row of that account, and reads it anew."""
    chosen = statement.where(Account.id == account_id)
    return chosen.with_for_update(of=Account).execution_options(populate_existing=True)


def concerns_its_school() -> ColumnElement[bool]:
    """Return the condition of the ties that are a school's affair: those that hold, and those of a pupil who left it.

    Whoever disputes to be the guardian is still its affair. A former guardian, and the family of a pupil who is in
    another school now, are not.
    """
    return or_(Guardianship.ended_at.is_(None), Guardianship.ended_at == Child.left_at)


def lives() -> ColumnElement[bool]:
    """Return the condition of the ties that hold today: nobody disputes them, and the pupil is still in the school.

    The statement joins `Guardianship` with `Child`.
    """
    return and_(
        Guardianship.disputed_at.is_(None),
        Guardianship.ended_at.is_(None),
        Child.left_at.is_(None),
    )


def child_sentence(child: Child) -> str:
    """Return a child as a parent recognises it: « Malo, 6e 1, Collège des Tilleuls ».

    A name that is written from right to left is isolated: it must not turn the class after it around.
    """
    name = child.given_name
    isolated = f"\u2068{name}\u2069" if any(unicodedata.bidirectional(c) in {"R", "AL"} for c in name) else name
    return ", ".join(part for part in (isolated, child.class_name, child.school.name) if part)


def schools(account: Account) -> list[School]:
    """Return the schools of the account's children, each once, in the order of the children."""
    return list({child.school.id: child.school for child in account.children}.values())


def schools_of_ties(account: Account) -> list[School]:
    """Return the schools of all ties that did not end, those in dispute too: whoever is shut out is sent to them."""
    ties = [link for link in account.guardianships if link.ended_at is None]
    return list({link.child.school.id: link.child.school for link in ties}.values())


def tellable(schools: Iterable[School]) -> list[Tellable]:
    """Return schools as the sentence wants them that says who hears of something (`idp.web.telling`)."""
    return [{"name": school.name, "phone": school.phone, "by_mail": school.email is not None} for school in schools]
