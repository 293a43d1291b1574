"""Finds a person for a request about their data: in the whole académie, or among the families of some schools."""

import uuid
from collections.abc import Sequence

from sqlalchemy import and_, or_, select

from idp.accounts.models import Account, Child, Guardianship, School
from idp.config import Settings
from idp.db import db
from idp.desk import access, ties
from idp.desk.search import guardians, service
from idp.desk.search.filters import Filters
from idp.desk.search.service import Family, Results
from idp.desk.search.terms import Step, Terms, all_words
from idp.folding import fold

MOST_SCHOOLS = 20
"""The most schools among whose families one search looks."""


def find(settings: Settings, terms: Terms, schools: Sequence[School]) -> Results:
    """Return the families that match, of these schools if there are some. The journal records the search.

    An identifier or a mail address says who it is: the schools are not needed.
    """
    if not schools or terms.mailbox or terms.identifier:
        return service.find(settings, terms, Filters())
    words = f"{terms.canonical} {' '.join(school.uai for school in schools)}"
    return service.journalled(settings, words, _in_schools(terms, [school.id for school in schools]))


def _in_schools(terms: Terms, schools: Sequence[uuid.UUID]) -> Results:
    """Return the pupils of some schools who match, or whose guardians do, by the first step that finds somebody."""
    steps = [terms.whole()] if terms.is_short else [terms.beginnings(), terms.near()]
    for step in steps:
        children = _children(step, schools) if step else []
        if children:
            of_pupils = guardians.of_pupils(children[: service.MOST])
            shown = children[: service.MOST]
            return Results(
                [Family(child, of_pupils[child.id], is_near=step is not steps[0]) for child in shown],
                page=1,
                pupils=len(children),
            )
    return Results([], page=1, pupils=0)


def _children(step: Step, schools: Sequence[uuid.UUID]) -> list[Child]:
    """Return the pupils who have the words, alone or together with a guardian, at most one more than a page shows.

    The rows of the schools come first (`MATERIALIZED`), as in the search at a school: PostgreSQL would else begin with
    the index of all words.
    """
    of_schools = (
        select(Child.id, Child.search_text.label("of_child"), Account.search_text.label("of_guardian"))
        .outerjoin(Guardianship, and_(Guardianship.child_id == Child.id, ties.are_shown()))
        .outerjoin(Account, Account.id == Guardianship.account_id)
        .where(access.children(), Child.school_id.in_(schools))
        .cte("of_schools")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    rows = of_schools.c
    matching = select(rows.id).where(or_(*(all_words([rows.of_child, rows.of_guardian], each) for each in step)))
    named = (
        select(Child)
        .where(Child.id.in_(matching))
        .order_by(Child.family_name, Child.given_name, Child.id)
        .limit(service.MOST + 1)
    )
    return sorted(db.session.scalars(named), key=lambda child: fold(f"{child.family_name} {child.given_name}"))
