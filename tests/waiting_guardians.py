"""Guardians who wait for the head, written as an import writes them."""

import uuid

from idp.accounts.closings import Wait
from idp.accounts.models import Account
from idp.clock import now
from idp.db import db, unit_of_work
from idp.rostering.write.ties import tell_heads


def wait(account: Account, *children: uuid.UUID, why: Wait = Wait.NEW_GUARDIAN) -> None:
    """Suspend ties of an account until the head has decided: all of them, or those to some children."""
    moment, chosen = now(), children or [tie.child_id for tie in account.guardianships]
    with unit_of_work():
        tell_heads([(account.id, child, why) for child in chosen], moment)
    db.session.expire_all()
