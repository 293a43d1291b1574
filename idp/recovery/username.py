"""« Identifiant oublié »: the identifiers of a mailbox, told to that mailbox."""

import uuid
from collections.abc import Sequence

from sqlalchemy import ColumnElement, select

from idp.accounts import disputes
from idp.accounts.models import Account
from idp.audit import log
from idp.audit.events import UsernameRequested, UsernameTold
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.mail.addresses import AddressFault, InvalidAddress, fold_address, parse_address
from idp.mail.compose import compose
from idp.mail.deliver import deliver
from idp.outbox import queue
from idp.outbox.models import OutboxMessage
from idp.outbox.worker import Outcome
from idp.recovery import brake
from idp.recovery.entrance import entrance, school_names
from idp.throttle import limits

USERNAME_WANTED = "recovery.username"
"""The kind of outbox message that carries such a request; its payload names the accounts, often none."""


def ask(typed: str, network_address: str) -> int:
    """Have the identifiers of a mailbox mailed to it; return the seconds to wait, 0 when the request was taken.

    Which accounts there are, if any, changes no statement: the answer is found with one read and written to the outbox
    as one row (security rows F-01, N-01). No unit of work may be open.

    Raises:
        InvalidAddress: a part of the address is missing, or there is no `@`, which is seen in what was typed alone.
            Whatever else is wrong with it, it is nobody's.
    """
    mailbox = _mailbox(typed)
    demands = (limits.FORGOTTEN_USERNAME_MAILBOX, mailbox), (limits.FORGOTTEN_ADDRESS, network_address)
    if seconds := brake.take_slots("username", *demands):
        return seconds
    found = db.session.scalars(select(Account.id).where(Account.mailbox == mailbox, *_told())).all()
    origin = log.current_origin()
    payload = {"accounts": [str(key) for key in found], "address": origin.address, "request_id": origin.request_id}
    with unit_of_work():
        queue.enqueue(USERNAME_WANTED, payload)
        log.record(UsernameRequested(count=len(found)))
    return 0


def hand_over(message: OutboxMessage, settings: Settings) -> Outcome:
    """Send the mail that lists the accounts (outbox handler); dropped when there are none."""
    accounts = _still_there(message)
    if not accounts:
        return Outcome.DROPPED
    recipient, link = str(accounts[0].email), entrance(settings, accounts[0])
    lines = [{"name": a.short_name, "username": a.username, "schools": school_names(a)} for a in accounts]
    mail = compose(
        "identifiant",
        recipient=recipient,
        context={"accounts": lines, "link": link},
        message_id=f"{message.id}",
        settings=settings,
        ent_url=link,
    )
    deliver(mail, recipient)
    payload = message.payload
    origin = log.Origin(address=payload.get("address", ""), request_id=payload.get("request_id", ""))
    with unit_of_work(), log.acting_for(origin):
        for account in accounts:
            log.record(UsernameTold(account_id=account.id))
    return Outcome.DONE


def _mailbox(typed: str) -> str:
    try:
        return fold_address(parse_address(typed))
    except InvalidAddress as fault:
        if fault.reason is AddressFault.INCOMPLETE or "@" not in typed:
            raise
        return fold_address(typed)


def _told() -> tuple[ColumnElement[bool], ...]:
    """Return which accounts of a mailbox are told to it: confirmed, undisputed, neither disabled nor merged."""
    return (
        Account.email_confirmed_at.is_not(None),
        Account.contested_at.is_(None),
        ~disputes.has_disputed_tie(),
        Account.disabled_at.is_(None),
        Account.merged_into_id.is_(None),
    )


def _still_there(message: OutboxMessage) -> Sequence[Account]:
    """Return the accounts of the request whose address is still the one that was asked for."""
    wanted = [uuid.UUID(key) for key in message.payload["accounts"]]
    if not wanted:
        return []
    return db.session.scalars(
        select(Account)
        .where(Account.id.in_(wanted), Account.email_confirmed_at <= message.created_at, *_told())
        .order_by(Account.created_at, Account.username)
        .execution_options(populate_existing=True)
    ).all()
