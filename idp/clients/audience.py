"""Decides whether a client may know a person, and which ENT a person is led to.

THE RULE: a client whose audience is `families` may know a person who has a living tie (`directory.lives`) to a child in
one of its schools. A client whose audience is `everyone` may know everybody. Only `_condition` has the rule:
SQLAlchemy uses it as a condition, and the statements of `idp.oidc.store` use SQL text that is compiled from it.
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
from idp.clock import now
from idp.db import db

_Column = ColumnElement[Any] | QueryableAttribute[Any]


def admits() -> ColumnElement[bool]:
    """Return the rule as a condition for a statement that reads `Client` and `Account`."""
    return _condition(Client.audience, Client.id, Account.id, now())


def may_know(client: uuid.UUID, account: uuid.UUID) -> bool:
    """Return whether the client with this primary key may know the person of this account."""
    rule = _condition(Client.audience, Client.id, literal(account, Account.id.type), now())
    return db.session.scalar(select(literal(1)).select_from(Client).where(Client.id == client, rule)) is not None


def knows_child(client: uuid.UUID, account: uuid.UUID) -> bool:
    """Return whether the client serves the school of a child of the person; a client for everyone may not."""
    tie = _known_ties(literal(client, Client.id.type), literal(account, Account.id.type), now(), literal(1))
    return db.session.scalar(tie.limit(1)) is not None


def served_by(client: uuid.UUID) -> ColumnElement[bool]:
    """Return the condition of the schools that a client serves, for a statement that reads `School`."""
    return School.uai.in_(select(ClientSchool.uai).where(ClientSchool.client_id == client))


def serving(school: School | None) -> ColumnElement[bool]:
    """Return the condition of the clients that serve a school, for a statement that reads `Client`."""
    uai = school.uai if school else ""
    return Client.id.in_(select(ClientSchool.client_id).where(ClientSchool.uai == uai))


def admits_sql(client: str, account: str, *, moment: str) -> str:
    """Return the rule as SQL text, for a statement that is written as text.

    Args:
        client: the alias of the table `client` in the statement.
        account: the SQL expression for the primary key of the account.
        moment: the driver's placeholder for the present instant.
    """
    audience = literal_column(f"{client}.audience", Client.audience.type)
    rule = _condition(audience, literal_column(f"{client}.id"), literal_column(account), literal_column(moment))
    return f"({_as_text(rule)})"


def known_children_sql(client: str, account: str, *, moment: str) -> str:
    """Return a query, as SQL text, for the children of an account in the schools that a client serves.

    Its columns are `given_name`, `family_name`, `class_name`, `uai`, `student_id`, `degree` and `rank`.

    Args:
        client: the alias of the table `client` in the outer statement.
        account: the SQL expression for the primary key of the account.
        moment: the driver's placeholder for the present instant.
    """
    query = _known_ties(
        literal_column(f"{client}.id"),
        literal_column(account),
        literal_column(moment),
        *(Child.given_name, Child.family_name, Child.class_name, School.uai, Child.student_id, School.degree),
        Guardianship.rank,
    )
    return f"({_as_text(query)})"


def first_ent(account: Account, came_from: uuid.UUID | None = None) -> Registration | None:
    """Return the ENT to which a link leads a person, or None.

    The first choice is the ENT of the school that printed the last letter. The second is the ENT that the person came
    from, if it may know them. The last is the ENT of a child's school that was registered first.

    Args:
        account: the person's account.
        came_from: the primary key of the client whose authorization request brought the person, if any.
    """
    schools = directory.schools(account)
    of_letter = [school.uai for school in schools if school.id == account.letter_school_id]
    if ent := registry.serving(of_letter, preferred=came_from):
        return ent
    if came_from is not None and may_know(came_from, account.id) and (ent := registry.find_by_key(came_from)):
        return ent
    return registry.serving(school.uai for school in schools)


def ents_of_children(account: Account, first: Registration) -> list[tuple[Registration, list[Child]]]:
    """Return the ENTs with an entrance that serve a person's children, each with these children, and `first` first."""
    families: dict[uuid.UUID, tuple[Registration, list[Child]]] = {first.key: (first, [])}
    for child in account.children:
        for ent in registry.all_serving([child.school.uai]):
            families.setdefault(ent.key, (ent, []))[1].append(child)
    return [(ent, children) for ent, children in families.values() if ent.home]


def lost_with(account: Account, child: Child) -> list[Registration]:
    """Return the ENTs that may not know a person any more if the tie to `child` does not hold.

    These are the ENTs of the child's school that serve none of the person's other children, and not everybody.
    """
    others = {other.school.uai for other in account.children if other.id != child.id and other.left_at is None}
    kept = {ent.key for ent in registry.all_serving(others)}
    lost = {ent.key: ent for ent in registry.all_serving([child.school.uai]) if ent.key not in kept}
    for_families = select(Client.id).where(Client.id.in_(lost), Client.audience != Audience.EVERYONE)
    keys = set(db.session.scalars(for_families))
    return [ent for key, ent in lost.items() if key in keys]


def _condition(audience: _Column, client: _Column, account: _Column, moment: Any) -> ColumnElement[bool]:
    tie = _known_ties(client, account, moment, literal_column("1")).correlate(Client, Account)
    return or_(audience == Audience.EVERYONE, tie.exists())


def _known_ties(client: _Column, account: _Column, moment: Any, *columns: Any) -> Select[Any]:
    return (
        select(*columns)
        .select_from(Guardianship)
        .join(Child, Child.id == Guardianship.child_id)
        .join(School, School.id == Child.school_id)
        .join(ClientSchool, ClientSchool.uai == School.uai)
        .where(Guardianship.account_id == account, ClientSchool.client_id == client, directory.lives(moment))
    )


def _as_text(clause: ClauseElement) -> str:
    return str(clause.compile(compile_kwargs={"literal_binds": True}))
