"""Notices to a school about an account, as the acts on a family answer them."""

from sqlalchemy import select

from idp.accounts import school_notices
from idp.accounts.models import Account, School, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.db import db, unit_of_work


def noticed(kind: Kind, account: Account, *schools: School, other: Account | None = None) -> SchoolNotice:
    """Add a notice about an account to some schools; return that of the first one."""
    with unit_of_work():
        keys = [school.id for school in schools]
        school_notices.add(kind, account.id, keys, other_account_id=other.id if other else None)
    of_first = SchoolNotice.account_id == account.id, SchoolNotice.school_id == schools[0].id
    return db.session.scalars(select(SchoolNotice).where(*of_first, SchoolNotice.kind == kind.value)).one()
