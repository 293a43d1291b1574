"""The rules of an activation."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, select, update

from idp import opaque
from idp.accounts import addresses, directory, mailboxes, school_notices
from idp.accounts.models import Account, Guardianship, School, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.events import ActivationCompleted, GuardianshipDisputed
from idp.clock import now
from idp.config import Settings
from idp.db import db


@dataclass(frozen=True)
class Activation:
    """What an activation sets: the hash of the new password, and the address that must be confirmed (or None).

    `interaction_id` says where it is done, `client_id` which ENT the person came from.
    """

    password_hash: str
    email: str | None
    interaction_id: str
    client_id: uuid.UUID | None


def find_open(account_id: uuid.UUID, generation: int) -> Account | None:
    """Return the account if its letter still opens an activation: never activated, same credentials, not disabled.

    A letter that expires while its page is open still counts: it was right when it was typed.
    """
    return db.session.scalar(select(Account).where(*_is_open(account_id, generation)))


def _is_open(account_id: uuid.UUID, generation: int) -> tuple[ColumnElement[bool], ...]:
    return (
        Account.id == account_id,
        Account.generation == generation,
        Account.activated_at.is_(None),
        Account.disabled_at.is_(None),
        Account.provisional_hash.is_not(None),
    )


def was_completed_in(account_id: uuid.UUID, interaction_id: str) -> bool:
    """Say whether this very interaction activated the account: a second click sees the result of the first."""
    kept = db.session.scalar(select(Account.activated_in).where(Account.id == account_id))
    return kept is not None and kept == opaque.digest(interaction_id)


def complete(settings: Settings, account_id: uuid.UUID, generation: int, activation: Activation) -> bool:
    """Activate the account, in one transaction with the link of its mail.

    False, and nothing done, when somebody else did it first or the letter no longer opens an activation. One statement
    decides who wins: of any number of activations at once, exactly one.
    """
    moment = now()
    won = db.session.scalar(
        update(Account)
        .where(*_is_open(account_id, generation))
        .values(
            password_hash=activation.password_hash,
            password_changed_at=moment,
            provisional_hash=None,
            provisional_expires_at=None,
            activated_at=moment,
            activated_in=opaque.digest(activation.interaction_id),
            pending_email=activation.email,
            generation=generation + 1,
            updated_at=moment,
        )
        .returning(Account.id)
    )
    if won is None:
        db.session.rollback()
        return False
    account = db.session.get_one(Account, account_id, populate_existing=True)
    domain = (activation.email or "").rpartition("@")[2]
    log.record(ActivationCompleted(account_id=account_id, mail_domain=domain))
    if activation.email:
        addresses.send_link(settings, account, activation.client_id)
    mailboxes.tell_file_mailbox(settings, account, activation.email)
    db.session.commit()
    return True


def dispute(account_id: uuid.UUID, generation: int, since: datetime) -> list[School] | None:
    """Record that the letter's holder is not the guardian: the secret is burnt, each school gets a notice.

    Returns the schools, also to a second click; None when the activation, opened at `since`, is no longer open.
    """
    account = directory.get_for_change(account_id)
    if account is None or account.generation != generation or account.activated_at is not None:
        db.session.rollback()
        return _disputed(account_id, since) or None
    moment = now()
    schools = directory.schools(account)
    account.provisional_hash = None
    account.provisional_expires_at = None
    account.generation += 1
    db.session.execute(
        update(Guardianship)
        .where(Guardianship.account_id == account_id, Guardianship.disputed_at.is_(None))
        .values(disputed_at=moment)
    )
    school_notices.add(Kind.NOT_GUARDIAN, account_id, [school.id for school in schools])
    log.record(GuardianshipDisputed(account_id=account_id, uais=[school.uai for school in schools]))
    db.session.commit()
    return schools


def _disputed(account_id: uuid.UUID, since: datetime) -> list[School]:
    """Return the schools that were told of this account after `since`."""
    return list(
        db.session.scalars(
            select(School)
            .join(SchoolNotice, SchoolNotice.school_id == School.id)
            .where(
                SchoolNotice.account_id == account_id,
                SchoolNotice.kind == Kind.NOT_GUARDIAN.value,
                SchoolNotice.created_at >= since,
            )
            .order_by(School.name)
        )
    )
