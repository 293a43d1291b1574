"""The ties between guardians and pupils that the desk shows."""

from sqlalchemy import ColumnElement, or_

from idp.accounts import directory
from idp.accounts.models import Guardianship


def are_shown() -> ColumnElement[bool]:
    """Return the condition of the ties that concern the school, or that the school itself ended.

    The tie of a former guardian is not shown. The statement joins `Guardianship` with `Child`.
    """
    return or_(directory.concerns_its_school(), Guardianship.is_excluded)
