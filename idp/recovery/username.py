"""« Identifiant oublié »: mails the identifiers of a mailbox to that mailbox."""

import uuid
from collections.abc import Sequence

from sqlalchemy import ColumnElement, select

from idp.accounts import disputes
from idp.accounts.models import Account
from idp.audit import log
from idp.audit.credential_events import UsernameRequested, UsernameTold
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.languages import of_account
from idp.mail.compose import compose
from idp.mail.deliver import deliver
from idp.mail.emails import fold_email, parse_email
from idp.outbox import queue
from idp.outbox.models import OutboxMessage
from idp.outbox.worker import Outcome
from idp.recovery import rate_limits
from idp.recovery.entrance import ent_name, entrance, school_names
from idp.throttle import limits

USERNAME_REQUESTED = "recovery.username"
"""The kind of outbox message for such a request; its payload names the accounts, often none."""


def ask(typed: str, ip: str) -> int:
    """Enqueue a mail with the identifiers of a mailbox; return the seconds to wait, 0 if it was accepted.

    The number of accounts changes no statement: there is always one read and one row in the outbox (security rows F-01,
    N-01). No unit of work may be open.

    Raises:
        InvalidEmailError: it is no address, which depends on the typed text only.
    """
    mailbox = fold_email(parse_email(typed))
    demands = (limits.FORGOTTEN_USERNAME_MAILBOX, mailbox), (limits.FORGOTTEN_IP, ip)
    if seconds := rate_limits.take_slots("username", *demands):
        return seconds
    account_ids = db.session.scalars(select(Account.id).where(Account.mailbox == mailbox, *_listed_accounts())).all()
    origin = log.current_origin()
    payload = {"accounts": [str(key) for key in account_ids], "ip": origin.ip, "request_id": origin.request_id}
    with unit_of_work():
        queue.enqueue(USERNAME_REQUESTED, payload)
        log.record(UsernameRequested(count=len(account_ids)))
    return 0


def hand_over(message: OutboxMessage, settings: Settings) -> Outcome:
    """Send the mail that lists the accounts (outbox handler); drop it if there are none."""
    accounts = _still_there(message)
    if not accounts:
        return Outcome.DROPPED
    recipient, link = str(accounts[0].email), entrance(settings, accounts[0])
    lines = [
        {"name": a.short_name, "username": a.username, "schools": school_names(a), "is_suspended": is_suspended}
        for a, is_suspended in ((account, account.is_suspended_at(now())) for account in accounts)
    ]
    mail = compose(
        "identifiant",
        recipient=recipient,
        context={"accounts": lines, "link": link, "ent": ent_name(accounts[0])},
        message_id=f"{message.id}",
        settings=settings,
        other_urls=[link],
        language=of_account(accounts[0].locale),
    )
    deliver(mail, recipient)
    payload = message.payload
    origin = log.Origin(ip=payload.get("ip", ""), request_id=payload.get("request_id", ""))
    with unit_of_work(), log.acting_for(origin):
        for account in accounts:
            log.record(UsernameTold(account_id=account.id))
    return Outcome.DONE


def _listed_accounts() -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of the accounts that are listed: confirmed, neither disabled, disputed nor merged."""
    return (
        Account.email_confirmed_at.is_not(None),
        Account.contested_at.is_(None),
        ~disputes.has_disputed_tie(),
        Account.disabled_at.is_(None),
        Account.merged_into_id.is_(None),
    )


def _still_there(message: OutboxMessage) -> Sequence[Account]:
    """Return the accounts of the request that still have the requested address."""
    account_ids = [uuid.UUID(key) for key in message.payload["accounts"]]
    if not account_ids:
        return []
    return db.session.scalars(
        select(Account)
        .where(Account.id.in_(account_ids), Account.email_confirmed_at <= message.created_at, *_listed_accounts())
        .order_by(Account.created_at, Account.username)
        .execution_options(populate_existing=True)
    ).all()
