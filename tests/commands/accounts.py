"""The stored state of accounts that an operator changes."""

from sqlalchemy import select

from idp.accounts.models import Account
from idp.cli.application import _operator
from idp.clock import now
from idp.db import db
from idp.outbox.queue import OutboxMessage
from idp.sessions import liveness
from idp.sessions.models import Session
from idp.throttle import guard, limits

OPERATOR = _operator()
ACTS = ("show", "enable")


def living(account: Account) -> int:
    rows = db.session.scalars(
        select(Session.id)
        .join(Account, Account.id == Session.account_id)
        .where(Session.account_id == account.id, liveness.holding(now()))
    ).all()
    db.session.rollback()
    return len(rows)


def reload_account(account: Account) -> Account:
    stored = db.session.get_one(Account, account.id, populate_existing=True)
    db.session.rollback()
    return stored


def waiting(kind: str) -> list[dict[str, object]]:
    payloads = list(db.session.scalars(select(OutboxMessage.payload).where(OutboxMessage.kind == kind)))
    db.session.rollback()
    return payloads


def wrong_tries(username: str) -> None:
    db.session.rollback()
    for _ in range(5):
        guard.take(limits.SIGN_IN_ACCOUNT, username)
