"""Accounts and ties that a decision closes, without the act that decides."""

import uuid
from datetime import datetime

from idp.accounts.closings import Closing
from idp.db import db


def suspend(
    account: uuid.UUID, child: uuid.UUID | None = None, *, until: datetime | None = None, since: datetime | None = None
) -> None:
    row = Closing(account_id=account, child_id=child, reason="jugement", begun_by="test", until=until)
    row.begun_at = since or row.begun_at
    db.session.add(row)
    db.session.commit()
    db.session.expire_all()
