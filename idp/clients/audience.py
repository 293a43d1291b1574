"""Decides whether a client may know a person, and which ENT a person is led to.

THE RULE: a client whose audience is `families` may know a person who has a living tie (`directory.lives`) to a child in
one of its schools. A client whose audience is `everyone` may know everybody. The rule is written once, in `_condition`:
as a condition for SQLAlchemy, and as text for the statements of `idp.oidc.store.sql`, which is compiled from that
condition.
"""

import uuid
from typing import Any

from sqlalchemy import ColumnElement, Select, literal, literal_column, or_, select
from sqlalchemy.orm import QueryableAttribute
from sqlalchemy.sql.elements import ClauseElement

from idp.accounts import directory
from idp.accounts.models import Account, Child, Guardianship, School
from idp.clients import registry
from idp.clients.models import Audience, Client, ClientSchool
from idp.clients.registry import Registration
from idp.db import db

_Column = ColumnElement[Any] | QueryableAttribute[Any]


def admits() -> ColumnElement[bool]:
    """Return the rule as a condition for a statement that reads `Client` and `Account`."""
    return _condition(Client.audience, Client.id, Account.id)


def may_know(client: uuid.UUID, account: uuid.UUID) -> bool:
    """Return whether the client of that primary key may know the person of that account."""
    rule = _condition(Client.audience, Client.id, literal(account, Account.id.type))
    return db.session.scalar(select(literal(1)).select_from(Client).where(Client.id == client, rule)) is not None


def knows_child(client: uuid.UUID, account: uuid.UUID) -> bool:
    """Return whether the client serves the school of a child of the person: one for everyone need not."""
    tie = _known_ties(literal(client, Client.id.type), literal(account, Account.id.type), literal(1))
    return db.session.scalar(tie.limit(1)) is not None


def admits_sql(client: str, account: str) -> str:
    """Return the rule as SQL text, for a statement that is not SQLAlchemy's.

    Args:
        client: the alias under which the statement reads the table `client`.
        account: the expression that gives the primary key of the account.
    """
    audience = literal_column(f"{client}.audience", Client.audience.type)
    rule = _condition(audience, literal_column(f"{client}.id"), literal_column(account))
    return f"({_as_text(rule)})"


def known_children_sql(client: str, account: str) -> str:
    """Return a query, as SQL text, for the children of an account in the schools that a client serves.

    Its columns are `given_name`, `family_name`, `class_name`, `uai`, `student_id`, `degree` and `rank`.

    Args:
        client: the alias under which the statement around it reads the table `client`.
        account: the expression that gives the primary key of the account.
    """
    query = _known_ties(
        literal_column(f"{client}.id"),
        literal_column(account),
        *(Child.given_name, Child.family_name, Child.class_name, School.uai, Child.student_id, School.degree),
        Guardianship.rank,
    )
    return f"({_as_text(query)})"


def first_ent(account: Account, came_from: uuid.UUID | None = None) -> Registration | None:
    """Return the ENT that a person is led to, which may know them; None if there is none.

    The school that printed the last letter decides first. Without an ENT there, it is the ENT that the person came
    from, if it may know them; then the ENT of any child's school that was registered first.

    Args:
        account: the person's.
        came_from: the primary key of the client whose request the person came with, if there was one.
    """
    schools = directory.schools(account)
    of_letter = [school.uai for school in schools if school.id == account.letter_school_id]
    if ent := registry.serving(of_letter, preferred=came_from):
        return ent
    if came_from is not None and may_know(came_from, account.id) and (ent := registry.find_by_key(came_from)):
        return ent
    return registry.serving(school.uai for school in schools)


def _condition(audience: _Column, client: _Column, account: _Column) -> ColumnElement[bool]:
    """Return the rule for a client with that audience and primary key, and for that account."""
    tie = _known_ties(client, account, literal_column("1")).correlate(Client, Account)
    return or_(audience == Audience.EVERYONE, tie.exists())


def _known_ties(client: _Column, account: _Column, *columns: Any) -> Select[Any]:
    """Return the query for the living ties of an account to children in the schools of a client."""
    return (
        select(*columns)
        .select_from(Guardianship)
        .join(Child, Child.id == Guardianship.child_id)
        .join(School, School.id == Child.school_id)
        .join(ClientSchool, ClientSchool.uai == School.uai)
        .where(Guardianship.account_id == account, ClientSchool.client_id == client, directory.lives())
    )


def _as_text(clause: ClauseElement) -> str:
    """Compile a clause to SQL that both engines read, its values written out."""
    return str(clause.compile(compile_kwargs={"literal_binds": True}))
