"""Gives a person another name, because the school confirms that its file is right.

An import accepts a corrected given name or civility only if the rest proves that it is the same person
(`idp.rostering.reconcile.continuity`). Otherwise it refuses the record, and the school gets a notice. The answer « the
same person » is this act: afterwards the files match the account under the new name.
"""

import uuid

from sqlalchemy import Select, select

from idp.accounts import directory, school_notices
from idp.accounts.models import SchoolNotice
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.data_events import AccountRenamed
from idp.db import db, unit_of_work
from idp.families.refusals import Code, RefusedError


@unit_of_work()
def rename(account_id: uuid.UUID, names: dict[str, str], reason: str, notice_id: uuid.UUID) -> None:
    """Change an account's names, and settle the notices that asked about them, in one transaction.

    Args:
        account_id: the account.
        names: the new values of `civility`, `given_name` and `family_name`; omitted names stay.
        reason: the school's reason.
        notice_id: the notice that is answered: of two people who answer it at once, one succeeds.

    Raises:
        RefusedError: the account is gone, or has these names already, or the notice is settled.
    """
    account = directory.get_for_change(account_id)
    if account is None:
        raise RefusedError(Code.GONE)
    if db.session.scalar(_is_open(notice_id)) is None:
        raise RefusedError(Code.SETTLED)
    changed = [name for name, value in names.items() if getattr(account, name) != value]
    if not changed:
        raise RefusedError(Code.SAME_NAMES)
    for name in changed:
        setattr(account, name, names[name])
    account.name_key = directory.name_key(account.given_name, account.family_name)
    account.first_given_name = None
    school_notices.settle(account.id, by=log.current_origin().actor, sentence=reason, kinds=[Kind.NAME_IN_DOUBT])
    log.record(AccountRenamed(account_id=account.id, changed=changed, reason=reason))


def _is_open(notice_id: uuid.UUID) -> Select[uuid.UUID]:
    return select(SchoolNotice.id).where(SchoolNotice.id == notice_id, SchoolNotice.settled_at.is_(None))
