"""Queries about accounts, their children and their schools."""

import hashlib
import unicodedata
import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, and_, exists, or_, select, union, update

from idp.accounts.closings import STATES, Closing, Kind
from idp.accounts.models import Account, Child, Guardianship, School
from idp.clock import now
from idp.db import db, unit_of_work
from idp.folding import fold
from idp.languages import for_account
from idp.mail.emails import InvalidEmailError, parse_email
from idp.web.telling import Tellable


def find_by_username(username: str) -> Account | None:
    """Return the account of a folded identifier, or None."""
    return db.session.scalar(select(Account).where(Account.username == username))


@unit_of_work()
def keep_language(username: str, language: str) -> None:
    """Keep the language that the account's person chose: its mails are written in it."""
    locale = for_account(language)
    db.session.execute(
        update(Account).where(Account.username == username, Account.locale != locale).values(locale=locale)
    )


def name_key(given_name: str, family_name: str) -> str:
    """Return the key under which people of the same names are found: letters and digits, without accents and case."""
    words = ("".join(c for c in fold(name) if c.isalnum()) for name in (given_name, family_name))
    return hashlib.blake2b("|".join(words).encode(), digest_size=16).hexdigest()


def get_for_change(account_id: uuid.UUID) -> Account | None:
    """Return the account as the database has it now, its row locked until the caller's transaction ends."""
    account: Account | None = db.session.scalar(locking(select(Account), account_id))
    if account is not None:
        # The statement read the decisions before it waited for the lock: another act may have closed the account since.
        db.session.expire(account, STATES)
    return account


def get_for_sign_in(account_id: uuid.UUID) -> tuple[Account | None, bool]:
    """Return the account, its row locked, and whether a decision or a dispute closes it, by one statement.

    If a dispute is committed while this statement waits for the lock, the account's generation has grown: the caller
    compares it.
    """
    account: Account | None = db.session.scalar(locking(select(Account), account_id))
    return account, account is not None and (account.is_barred or account.is_shut_at(now()))


def locking(statement: Select[*tuple[Any, ...]], account_id: uuid.UUID) -> Select[*tuple[Any, ...]]:
    """Return `statement`, which selects `Account`, so that it locks the row of that account and reads it again."""
    chosen = statement.where(Account.id == account_id)
    return chosen.with_for_update(of=Account).execution_options(populate_existing=True)


def concerns_its_school() -> ColumnElement[bool]:
    """Return the condition of the ties that concern the school: those that hold, and those of a pupil who left it.

    A tie in dispute concerns the school. The tie of a former guardian does not, nor that of a pupil who is in another
    school now.
    """
    return or_(Guardianship.is_unended, Guardianship.ended_at == Child.left_at)


def reopened_by_heads_of(school_id: uuid.UUID) -> ColumnElement[bool]:
    """Return the condition of the closings that the heads of a school may reopen: the one home of that rule.

    They are those of the school. If the school that closed an account has no tie to the person any more, or if the
    académie closed it, the heads of the schools that have one may too; but no head reopens what an operator closed for
    a person of several schools. The académie reopens everything (`idp account reopen`): there is always somebody.
    """
    is_by_operator = and_(Closing.school_id.is_(None), ~Closing.begun_by.startswith("desk "))
    is_too_wide = and_(is_by_operator, _has_tie(Child.school_id != school_id))
    is_heir = and_(has_lost_its_school(), _has_tie(Child.school_id == school_id), ~is_too_wide)
    return or_(Closing.school_id == school_id, is_heir)


def has_lost_its_school() -> ColumnElement[bool]:
    """Return the condition of the closings of accounts to which the school that closed them has no tie any more."""
    return and_(Closing.child_id.is_(None), ~_has_tie(Child.school_id == Closing.school_id))


def _has_tie(of_school: ColumnElement[bool]) -> ColumnElement[bool]:
    tie = Guardianship.account_id == Closing.account_id, Guardianship.is_unended, Guardianship.child_id == Child.id
    return exists().where(*tie, of_school).correlate_except(Guardianship, Child)


def protected_pupils(moment: datetime) -> CompoundSelect[uuid.UUID]:
    """Return the query of the pupils to whom a decision closes a person's access, by a tie or the whole account.

    Ended ties count: a pupil may be left out of a file for one day. So do decisions about people who were erased since.
    """
    of_ties = select(Closing.child_id).where(Closing.child_id.is_not(None), Closing.where_decided(moment))
    of_accounts = (
        select(Guardianship.child_id)
        .join(Closing, Closing.account_id == Guardianship.account_id)
        .where(Closing.child_id.is_(None), Closing.where_decided(moment))
    )
    return union(of_ties, of_accounts)


def lives(moment: Any) -> ColumnElement[bool]:
    """Return the condition of the ties that hold at `moment`, of pupils who are in their school.

    The statement joins `Guardianship` with `Child`.
    """
    return and_(Guardianship.where_holds(moment), Child.left_at.is_(None))


def counts_in_class(moment: Any) -> ColumnElement[bool]:
    """Return the condition of the ties by which an account counts in a class: unended, and closed by nobody.

    Pupils who left do not count. The statement joins `Guardianship` with `Child`.
    """
    disputed = and_(Guardianship.is_unended, Guardianship.where_closed_as(Kind.DISPUTED))
    return and_(or_(Guardianship.where_holds(moment), disputed), Child.left_at.is_(None))


def child_sentence(child: Child) -> str:
    """Return a child as a parent recognises it: « Malo, 6e 1, Collège des Tilleuls ».

    A name in a right-to-left script is isolated, so that the class behind it keeps its direction.
    """
    name = child.given_name
    isolated = f"\u2068{name}\u2069" if any(unicodedata.bidirectional(c) in {"R", "AL"} for c in name) else name
    return ", ".join(part for part in (isolated, child.class_name, child.school.name) if part)


def schools(account: Account) -> list[School]:
    """Return the schools of the account's children, each once, in the order of the children."""
    return list({child.school.id: child.school for child in account.children}.values())


def schools_of_ties(account: Account) -> list[School]:
    """Return the schools of all ties that have not ended, including those in dispute: these schools settle them."""
    ties = [link for link in account.guardianships if link.is_unended]
    return list({link.child.school.id: link.child.school for link in ties}.values())


def tellable(schools: Iterable[School]) -> list[Tellable]:
    """Return schools as `idp.web.telling` needs them, which writes the sentence about who is told."""
    return [{"name": school.name, "phone": school.phone, "by_mail": school.email is not None} for school in schools]


def email_of_file(account: Account) -> str | None:
    """Return the address of the school's file, or None if no mail can be sent to it."""
    try:
        return parse_email(account.school_email or "")
    except InvalidEmailError:
        return None
