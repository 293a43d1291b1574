"""Writes and settles the notices to schools about people in doubt: records that an import refused."""

import uuid
from collections.abc import Sequence

from sqlalchemy import select

from idp.accounts import school_notices
from idp.accounts.models import Account, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.db import db
from idp.rostering import bulk
from idp.rostering.reconcile.staging import Staging
from idp.rostering.write import replacing, statements


def tell_schools(page: Sequence[str]) -> None:
    """Write the notices about a page of accounts, in the caller's transaction."""
    ids = [uuid.UUID(account) for account in page]
    db.session.execute(select(Account.id).where(bulk.one_of(Account.id, ids)).order_by(Account.id).with_for_update())
    for account_id, schools in replacing.families(ids).items():
        school_notices.add(Kind.NAME_IN_DOUBT, account_id, schools)


def settle_answered(staging: Staging) -> None:
    """Settle the notices about accounts whose person the files name again, in the caller's transaction."""
    waiting = select(SchoolNotice.account_id).where(school_notices.is_open([Kind.NAME_IN_DOUBT])).distinct()
    for account_id in db.session.scalars(waiting.order_by(SchoolNotice.account_id)).all():
        if staging.value(statements.IS_ANSWERED, account=account_id.hex):
            school_notices.settle(
                account_id, by="import", sentence="the file names the same person", kinds=[Kind.NAME_IN_DOUBT]
            )
