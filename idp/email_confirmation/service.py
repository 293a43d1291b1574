"""The rules of the confirmation link, and the mail that carries it."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from idp.accounts import addresses, directory, tokens
from idp.accounts.models import Account, OneTimeLink, School
from idp.accounts.tokens import LinkState, Purpose
from idp.clients import registry
from idp.clients.models import Client, ClientSchool
from idp.clock import now
from idp.config import Settings
from idp.db import db, end_read
from idp.mail.addresses import fold_address
from idp.mail.compose import compose
from idp.mail.deliver import deliver
from idp.outbox.models import OutboxMessage
from idp.outbox.worker import Outcome

_PAUSE_SECONDS = 60


@dataclass(frozen=True)
class Sent:
    """A link is in the outbox."""


@dataclass(frozen=True)
class TooSoon:
    """A cap holds for `seconds` more; `capped` tells that it is not the short pause between two sends."""

    seconds: int
    capped: bool


@dataclass(frozen=True)
class NothingToConfirm:
    """The account has no address waiting: it was confirmed meanwhile, or disabled."""


Resent = Sent | TooSoon | NothingToConfirm


def resend(
    settings: Settings,
    account_id: uuid.UUID,
    *,
    network_address: str,
    client_id: uuid.UUID | None,
    to: str | None = None,
) -> Resent:
    """Send a new link to the pending address, or to `to`, which then becomes the pending one; the older link dies.

    Counted for each account, mailbox and network address before anything is written (security row E-10).
    """
    pending = db.session.scalar(select(Account.pending_email).where(Account.id == account_id))
    end_read()
    target = to or pending
    if target is None:
        return NothingToConfirm()
    # a corrected address need not wait for the pause between two sends to one mailbox; every longer cap holds
    corrected = to is not None and pending is not None and fold_address(to) != fold_address(pending)
    wait = addresses.take_slots(account_id, target, network_address, corrected=corrected)
    if wait:
        return TooSoon(wait, capped=wait > _PAUSE_SECONDS)
    account = directory.get_for_change(account_id)
    if account is None or account.disabled_at is not None or (account.pending_email or to) is None or account.email:
        db.session.rollback()
        return NothingToConfirm()
    if to:
        account.pending_email = to
    addresses.send_link(settings, account, client_id)
    db.session.commit()
    return Sent()


def resent_at(account_id: uuid.UUID) -> datetime | None:
    """Return when the last message left, if it was not the first: the page says that the links before are dead."""
    sent = db.session.scalars(
        select(OneTimeLink.created_at)
        .where(OneTimeLink.account_id == account_id, OneTimeLink.purpose == Purpose.CONFIRM_EMAIL.value)
        .order_by(OneTimeLink.created_at.desc())
        .limit(2)
    ).all()
    return sent[0] if len(sent) > 1 else None


def confirm(value: str) -> LinkState:
    """Confirm the address of the link `value`; USED also for the second of two clicks, which sees the same page."""
    if addresses.confirm(value):
        return LinkState.USED
    return state_of(value)


def state_of(value: str) -> LinkState:
    """Say what the link `value` is, and change nothing."""
    state = tokens.look_up(Purpose.CONFIRM_EMAIL, value).state
    end_read()
    return state


def resend_for_link(settings: Settings, value: str, network_address: str) -> bool:
    """Send a new link in place of a dead one, to the same address, if it is still the one that waits.

    False for a link that was never ours; nothing else is told.
    """
    row = tokens.look_up(Purpose.CONFIRM_EMAIL, value).row
    waiting = db.session.scalar(select(Account.pending_email).where(Account.id == row.account_id)) if row else None
    end_read()
    if row is not None and row.used_at is None and row.address == waiting:
        resend(settings, row.account_id, network_address=network_address, client_id=row.client_id)
    return row is not None


def ent_of(value: str) -> registry.Registration | None:
    """Return the ENT that a link leads to: the one that the person came from, else one that serves a child's school."""
    row = tokens.look_up(Purpose.CONFIRM_EMAIL, value).row
    if row is None:
        return None
    return registry.find_by_key(row.client_id) or ent_for(row.account_id)


def ent_for(account_id: uuid.UUID) -> registry.Registration | None:
    """Return the first ENT that serves a school of the account's children."""
    account = db.session.get(Account, account_id)
    uais = [school.uai for school in directory.schools(account)] if account else []
    key = db.session.scalar(
        select(ClientSchool.client_id)
        .join(Client, Client.id == ClientSchool.client_id)
        .join(School, School.uai == ClientSchool.uai)
        .where(ClientSchool.uai.in_(uais), Client.disabled_at.is_(None))
        .order_by(Client.created_at)
        .limit(1)
    )
    return registry.find_by_key(key)


def hand_over(message: OutboxMessage, settings: Settings) -> Outcome:
    """Send the mail of a link (outbox handler). A link that died on the way is issued anew, or its mail is dropped."""
    link = db.session.get(OneTimeLink, uuid.UUID(message.payload["link"]), populate_existing=True)
    account = directory.get_for_change(link.account_id) if link else None
    if link is None or account is None or not _still_wanted(link, account):
        db.session.rollback()
        return Outcome.DROPPED
    value = tokens.token(settings, link)
    if value is None or link.expires_at - now() < settings.lifetime("email_link_lifetime") / 2:
        addresses.send_link(settings, account, link.client_id)
        db.session.commit()
        return Outcome.DROPPED
    mail = compose(
        "confirmation",
        recipient=link.address,
        context={
            "person": " ".join(part for part in (account.civility, account.family_name) if part),
            "link": f"{settings.issuer}/adresse/lien/{value}",
            "hours": int((link.expires_at - now()).total_seconds() + 60) // 3600,
        },
        message_id=f"{message.id}",
        settings=settings,
    )
    end_read()
    deliver(mail, link.address)
    return Outcome.DONE


def _still_wanted(link: OneTimeLink, account: Account) -> bool:
    return (
        link.used_at is None
        and link.revoked_at is None
        and account.disabled_at is None
        and account.pending_email == link.address
        and account.generation == link.generation
    )
