"""Finds the schools in scope by their name or their number."""

from sqlalchemy import Select, or_, select

from idp.accounts.models import School
from idp.desk import access


def matching(words: str) -> Select[School]:
    """Return the statement of the schools with all the words, each in the name or at the beginning of the UAI."""
    statement = select(School).where(access.schools()).order_by(School.name, School.uai)
    for word in words.split():
        like = School.name.icontains(word, autoescape=True), School.uai.istartswith(word, autoescape=True)
        statement = statement.where(or_(*like))
    return statement
