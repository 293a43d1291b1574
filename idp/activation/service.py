"""The rules of an activation."""

import uuid
from dataclasses import dataclass

from sqlalchemy import select, update

from idp import opaque
from idp.accounts import addresses, directory
from idp.accounts.models import Account, Guardianship, SchoolNotice
from idp.accounts.passwords import Hasher, fold_provisional
from idp.accounts.policy import Identity
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
    """Return the account if its letter still opens an activation: never activated, same credentials, not disabled."""
    return db.session.scalar(
        select(Account).where(
            Account.id == account_id,
            Account.generation == generation,
            Account.activated_at.is_(None),
            Account.disabled_at.is_(None),
        )
    )


def was_completed_in(account_id: uuid.UUID, interaction_id: str) -> bool:
    """Say whether this very interaction activated the account: a second click sees the result of the first."""
    kept = db.session.scalar(select(Account.activated_in).where(Account.id == account_id))
    return kept is not None and kept == opaque.digest(interaction_id)


def identity(account: Account, hasher: Hasher) -> Identity:
    """Return what the account's new password must not contain or be."""
    stored = account.provisional_hash

    def is_provisional(typed: str) -> bool:
        folded = fold_provisional(typed)
        return len(folded) == 12 and hasher.verify(stored, folded, "activation")  # noqa: PLR2004 - a letter's secret

    return Identity(
        username=account.username,
        names=(account.given_name, account.family_name, account.birth_name),
        children=tuple(name for child in account.children for name in (child.given_name, child.family_name)),
        schools=tuple(school.name for school in directory.schools(account)),
        is_provisional=is_provisional,
    )


def complete(settings: Settings, account_id: uuid.UUID, generation: int, activation: Activation) -> bool:
    """Activate the account, in one transaction with the link of its mail; False when somebody else did, or it is no longer open.

    One statement decides who wins: of any number of activations at once, exactly one.
    """
    moment = now()
    won = db.session.execute(
        update(Account)
        .where(
            Account.id == account_id,
            Account.generation == generation,
            Account.activated_at.is_(None),
            Account.disabled_at.is_(None),
            Account.provisional_hash.is_not(None),
            Account.provisional_expires_at.is_not(None),
        )
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
    ).rowcount
    if not won:
        db.session.rollback()
        return False
    account = db.session.get_one(Account, account_id, populate_existing=True)
    domain = (activation.email or "").rpartition("@")[2]
    log.record(ActivationCompleted(account_id=account_id, mail_domain=domain))
    if activation.email:
        addresses.send_link(settings, account, activation.client_id)
    db.session.commit()
    return True


def dispute(account_id: uuid.UUID, generation: int) -> list[str] | None:
    """Record that the letter's holder is not the guardian: the secret is burnt, each school gets a notice.

    Returns the schools' names, or None when the activation was no longer open.
    """
    account = directory.get_for_change(account_id)
    if account is None or account.generation != generation or account.activated_at is not None:
        db.session.rollback()
        return None
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
    db.session.add_all(
        SchoolNotice(school_id=school.id, account_id=account_id, kind="not_guardian") for school in schools
    )
    log.record(GuardianshipDisputed(account_id=account_id, uais=[school.uai for school in schools]))
    db.session.commit()
    return [school.name for school in schools]
