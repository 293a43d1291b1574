"""Finds the schools in scope by their name or their number."""

import uuid

from flask_babel import gettext
from sqlalchemy import Select, or_, select

from idp.accounts.models import School
from idp.db import db
from idp.desk import access

MOST = 20
"""The most schools among whose families one search looks."""


def matching(words: str) -> Select[School]:
    """Return the statement of the schools with all the words, each in the name or at the beginning of the UAI."""
    statement = select(School).where(access.schools()).order_by(School.name, School.uai)
    for word in words.split():
        like = School.name.icontains(word, autoescape=True), School.uai.istartswith(word, autoescape=True)
        statement = statement.where(or_(*like))
    return statement


def typed(words: str) -> tuple[list[uuid.UUID], str]:
    """Return the keys of the schools with a typed name or number, none for an empty text; and what is wrong with it."""
    schools = [school.id for school in db.session.scalars(matching(words).limit(MOST + 1))] if words else []
    if words and not schools:
        return [], gettext("Aucun établissement n’a ce nom ou ce numéro.")
    if len(schools) > MOST:
        return [], gettext("Plus de %(n)s établissements : précisez le nom, ou la commune.", n=MOST)
    return schools, ""
