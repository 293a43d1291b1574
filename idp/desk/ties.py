"""The ties between guardians and pupils that the desk shows, and those by which it counts accounts."""

from sqlalchemy import ColumnElement, and_, or_

from idp.accounts import directory
from idp.accounts.models import Child, Guardianship
from idp.clock import now


def are_shown() -> ColumnElement[bool]:
    """Return the condition of the ties that concern the school, or that the school itself ended.

    The tie of a former guardian is not shown. The statement joins `Guardianship` with `Child`.
    """
    return or_(directory.concerns_its_school(), Guardianship.is_excluded)


def are_counted() -> ColumnElement[bool]:
    """Return the condition of the ties by which an account counts in a class: unended, and suspended by nobody.

    Pupils who left do not count. The statement joins `Guardianship` with `Child`.
    """
    return and_(or_(Guardianship.where_holds(now()), Guardianship.is_disputed), Child.left_at.is_(None))
