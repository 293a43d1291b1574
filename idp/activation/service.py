"""The rules of the activation.

The hash of a password that was accepted is kept while the person corrects the email of the same form. The person does
not type the password again, and no page contains it. A hash is kept under the key of its activation, for
`ACTIVATION_LIFETIME` at most, and is removed when the activation is complete.
"""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, String, delete, select, update
from sqlalchemy.orm import Mapped, mapped_column

from idp import opaque
from idp.accounts import directory, emails, mailboxes, school_notices
from idp.accounts.closings import Closing, Kind
from idp.accounts.models import Account, Child, Guardianship, School
from idp.audit import log
from idp.audit.events import ActivationCompleted
from idp.clock import ACTIVATION_LIFETIME, now
from idp.config import Settings
from idp.db import Base, db, unit_of_work, upsert
from idp.interaction.store import Interaction, Person
from idp.languages import for_account
from idp.personal import left_out
from idp.sessions import closing


class KeptPassword(Base):
    """The hash of a good password whose form had a wrong email: the person corrects the email alone.

    `digest` is that of the interaction, which works in one browser, with the account and its generation. The row names
    nobody; nothing reads it after `ACTIVATION_LIFETIME`.
    """

    __tablename__ = "kept_password"
    __table_args__ = (
        {
            "info": left_out(
                "hashes of passwords before the activation, under digests that name nobody; gone within a day"
            )
        },
    )

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    password_hash: Mapped[str] = mapped_column(String(200))
    kept_at: Mapped[datetime] = mapped_column(default=now, index=True)


def activation_key(interaction: Interaction, person: Person) -> bytes:
    """Return the key of an activation: an interaction of one browser, and an account with its generation."""
    return opaque.digest(f"{interaction.id} {person.account_id.hex} {person.generation}")


@unit_of_work()
def keep_password(key: bytes, password_hash: str) -> None:
    """Keep the hash of a password that the policy accepted, and replace the former one. No unit of work may be open."""
    values = {"password_hash": password_hash, "kept_at": now()}
    statement = upsert(KeptPassword).values(digest=key, **values)
    db.session.execute(statement.on_conflict_do_update(index_elements=[KeptPassword.digest], set_=values))


def kept_password(key: bytes) -> str | None:
    """Return the hash that was kept during this activation, or None if there is none or its time is over."""
    oldest = now() - ACTIVATION_LIFETIME
    kept = select(KeptPassword.password_hash).where(KeptPassword.digest == key, KeptPassword.kept_at > oldest)
    return db.session.scalar(kept)


def find_open(account_id: uuid.UUID, generation: int) -> Account | None:
    """Return the account if its letter still opens an activation: never activated, same credentials, not closed.

    A letter that expires while its page is open still counts: it was valid when the secret was typed.
    """
    return db.session.scalar(select(Account).where(*_is_open(account_id, generation)))


def _is_open(account_id: uuid.UUID, generation: int) -> tuple[ColumnElement[bool], ...]:
    return (
        Account.id == account_id,
        Account.generation == generation,
        Account.activated_at.is_(None),
        Account.where_enabled(now()),
        Account.provisional_hash.is_not(None),
        ~Account.has_disputed_tie,
    )


def was_completed_in(account_id: uuid.UUID, interaction_id: str) -> bool:
    """Return whether this interaction activated the account: a second click sees the result of the first."""
    kept = db.session.scalar(select(Account.activated_in).where(Account.id == account_id))
    return kept is not None and kept == opaque.digest(interaction_id)


@unit_of_work()
def complete(
    settings: Settings,
    interaction: Interaction,
    person: Person,
    password_hash: str,
    email: str | None,
    *,
    client_id: uuid.UUID | None,
    language: str,
) -> bool:
    """Activate the account and enqueue the mail with its link, in one transaction; return whether this call did.

    Return False, without any change, if another request activated the account first, or the letter no longer opens an
    activation. One statement decides: exactly one of any number of concurrent activations succeeds.

    If the address was contested, the dispute ends: the school gave the new letter to a person whom it knows. The
    person came from the ENT `client_id`, and reads the page in `language`.
    """
    moment, account_id = now(), person.account_id
    won = db.session.scalar(
        update(Account)
        .where(*_is_open(account_id, person.generation))
        .values(
            password_hash=password_hash,
            password_changed_at=moment,
            provisional_hash=None,
            provisional_expires_at=None,
            activated_at=moment,
            known_use_at=moment,
            activated_in=opaque.digest(interaction.id),
            pending_email=email,
            locale=for_account(language),
            generation=Account.next_generation(),
            updated_at=moment,
        )
        .returning(Account.id)
    )
    if won is None:
        return False
    account = db.session.get_one(Account, account_id, populate_existing=True)
    school_notices.end_contest(account)
    domain = (email or "").rpartition("@")[2]
    log.record(ActivationCompleted(account_id=account_id, mail_domain=domain))
    if email:
        emails.send_link(settings, account, client_id)
    mailboxes.tell_file_mailbox(settings, account, email)
    db.session.execute(delete(KeptPassword).where(KeptPassword.digest == activation_key(interaction, person)))
    return True


def children_of_letter(account: Account) -> list[Child]:
    """Return the children that the letter is about: those of the school that printed it.

    Return all children of the account if that school is not known, or if none of them is in it any more.
    """
    moment = now()
    return [tie.child for tie in _ties_of_letter(account, account.guardianships) if tie.holds_at(moment)]


def _ties_of_letter(account: Account, ties: Sequence[Guardianship]) -> list[Guardianship]:
    """Return the ties that the letter is about and that have not ended, including those in dispute."""
    alive = [tie for tie in ties if tie.is_unended]
    return [tie for tie in alive if tie.child.school_id == account.letter_school_id] or alive


@unit_of_work()
def dispute(account_id: uuid.UUID, generation: int, chosen: Collection[str], since: datetime) -> list[School]:
    """Record that the letter's holder is not the guardian of some children, and close the account.

    The letter's secret is revoked, all sessions end, and each school gets a notice with the children's names. A school
    opens the account again. Until then, the holder may name further children of the letter
    (the browser's Back).

    Args:
        account_id: the letter's account.
        generation: the account's generation when the activation was opened.
        chosen: the keys (32 hexadecimal digits) of the children, among those of `children_of_letter`.
        since: when the activation was opened.

    Returns:
        The schools concerned, also for a second click; none if a chosen child could not be recorded.
    """
    account = directory.get_for_change(account_id)
    if account is None or account.activated_at is not None:
        return []
    statement = select(Guardianship).where(Guardianship.account_id == account_id).order_by(Guardianship.rank)
    ties = _ties_of_letter(account, db.session.scalars(statement.execution_options(populate_existing=True)).all())
    children = [tie.child for tie in ties if tie.holds_at(now()) and tie.child_id.hex in chosen]
    is_first = account.generation == generation
    if not children:
        return [] if is_first else disputed_schools(account_id, since)
    # The first statement raised the generation by one. The school's decision raises it again, and voids the letter.
    is_further = account.changed_once_since(generation) and any(
        row.kind == Kind.DISPUTED.value and row.begun_at >= since for tie in ties for row in tie.closings
    )
    if not is_first and not is_further:
        return []
    closing.dispute(account.id, children, is_first=is_first)
    return disputed_schools(account_id, since)


def disputed_schools(account_id: uuid.UUID, since: datetime) -> list[School]:
    """Return the schools that have to settle the ties disputed after `since`."""
    schools = db.session.scalars(
        select(School)
        .join(Closing, Closing.school_id == School.id)
        .where(
            Closing.account_id == account_id,
            Closing.kind == Kind.DISPUTED.value,
            Closing.ended_at.is_(None),
            Closing.begun_at >= since,
        )
        .order_by(School.name)
    )
    return list(dict.fromkeys(schools))
