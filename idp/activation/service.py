"""The rules of an activation."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, select, update

from idp import opaque
from idp.accounts import addresses, directory, disputes, mailboxes, school_notices
from idp.accounts.models import Account, Child, Guardianship, School
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.events import ActivationCompleted, GuardianshipDisputed
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.sessions import closing


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
    """Return the account if its letter still opens an activation: never activated, same credentials, not shut.

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
        ~disputes.has_disputed_tie(),
    )


def was_completed_in(account_id: uuid.UUID, interaction_id: str) -> bool:
    """Return whether this very interaction activated the account: a second click sees the result of the first."""
    kept = db.session.scalar(select(Account.activated_in).where(Account.id == account_id))
    return kept is not None and kept == opaque.digest(interaction_id)


@unit_of_work()
def complete(settings: Settings, account_id: uuid.UUID, generation: int, activation: Activation) -> bool:
    """Activate the account, in one transaction with the link of its mail.

    Return False without any change if somebody else was faster or the letter no longer opens an activation. One
    statement decides who wins: of any number of activations at once, exactly one.

    A used letter ends the dispute about a contested address: the school gave the letter to the person whom it saw.
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
            generation=Account.next_generation(),
            updated_at=moment,
        )
        .returning(Account.id)
    )
    if won is None:
        return False
    account = db.session.get_one(Account, account_id, populate_existing=True)
    if account.contested_at is not None:
        disputes.end_contest(account)
    domain = (activation.email or "").rpartition("@")[2]
    log.record(ActivationCompleted(account_id=account_id, mail_domain=domain))
    if activation.email:
        addresses.send_link(settings, account, activation.client_id)
    mailboxes.tell_file_mailbox(settings, account, activation.email)
    return True


def children_of_letter(account: Account) -> list[Child]:
    """Return the children that the letter is about: those of the school that printed it.

    All children of the account if that is not known, or if none of them is in that school any more.
    """
    return [tie.child for tie in _ties_of_letter(account, account.guardianships) if tie.disputed_at is None]


def _ties_of_letter(account: Account, ties: Sequence[Guardianship]) -> list[Guardianship]:
    """Return the ties that the letter is about and that did not end, those in dispute included."""
    alive = [tie for tie in ties if tie.ended_at is None]
    return [tie for tie in alive if tie.child.school_id == account.letter_school_id] or alive


@unit_of_work()
def dispute(account_id: uuid.UUID, generation: int, chosen: Collection[str], since: datetime) -> list[School]:
    """Record that the letter's holder is not the guardian of some children, and close the account.

    The letter's secret is burnt, whoever is signed in is signed out, and each school gets a notice with the children's
    names. A school opens the account again (`idp account disputes`). Until it does, the holder may name further
    children of the letter (the browser's Back).

    Args:
        account_id: whose letter it is.
        generation: the account's when the activation was opened.
        chosen: the keys (32 hexadecimal digits) of the children, among those of `children_of_letter`.
        since: when the activation was opened.

    Returns:
        The schools concerned, also to a second click; none if a child that was chosen could not be recorded.
    """
    account = directory.get_for_change(account_id)
    if account is None or account.activated_at is not None:
        return []
    statement = select(Guardianship).where(Guardianship.account_id == account_id).order_by(Guardianship.rank)
    ties = _ties_of_letter(account, db.session.scalars(statement.execution_options(populate_existing=True)).all())
    children = [tie.child for tie in ties if tie.disputed_at is None and tie.child_id.hex in chosen]
    is_first = account.generation == generation
    if not children:
        return [] if is_first else disputed_schools(account_id, since)
    # the first statement raised the generation by one; so does the school when it decides, and the letter is void then
    is_further = account.changed_once_since(generation) and any(
        tie.disputed_at is not None and tie.disputed_at >= since for tie in ties
    )
    if not is_first and not is_further:
        return []
    _dispute(account.id, children, is_first=is_first)
    return disputed_schools(account_id, since)


def _dispute(account_id: uuid.UUID, children: Sequence[Child], *, is_first: bool) -> None:
    ties = [(account_id, child.id) for child in children]
    if is_first:
        closing.dispute_ties(ties)
    else:
        closing.mark_disputed(ties)
    by_school: dict[uuid.UUID, list[uuid.UUID]] = {}
    for child in children:
        by_school.setdefault(child.school_id, []).append(child.id)
    school_notices.add(Kind.NOT_GUARDIAN, account_id, by_school)
    log.record(
        GuardianshipDisputed(
            account_id=account_id,
            children=[child.id.hex for child in children],
            uais=sorted({child.school.uai for child in children}),
        )
    )


def disputed_schools(account_id: uuid.UUID, since: datetime) -> list[School]:
    """Return the schools of the ties that were disputed after `since`, and that wait for them."""
    schools = db.session.scalars(
        select(School)
        .join(Child, Child.school_id == School.id)
        .join(Guardianship, Guardianship.child_id == Child.id)
        .where(
            Guardianship.account_id == account_id,
            Guardianship.disputed_at >= since,
            disputes.tie_is_disputed(),
        )
        .order_by(School.name)
    )
    return list(dict.fromkeys(schools))
