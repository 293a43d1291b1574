"""Lists of the people of a class: whose account is not complete, and whom a mail may remind. They have no code."""

import enum
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Select, or_, select

from idp.accounts import emails
from idp.accounts.models import Account, Child, Guardianship, School
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.letters.recipients import class_order, folded
from idp.mail.emails import fold_email
from idp.spreadsheet import rows_to_csv
from idp.throttle import guard, limits

COLUMNS = ("classe", "élève", "responsable", "état")


class Missing(enum.StrEnum):
    """What a guardian still has to do."""

    ACTIVATION = "to_activate"
    NEW_ACTIVATION = "to_activate_again"  # a new letter closed the account
    LETTER = "no_letter"
    """No letter for the account is valid. It is not active, or only a letter replaces its blocked password."""
    CONFIRMATION = "email_to_confirm"
    EMAIL = "no_email"


class Remaining(NamedTuple):
    """A guardian whose account is not complete, beside one of the pupils of the class."""

    class_name: str
    pupil: str
    guardian: str
    missing: Missing
    account_id: uuid.UUID


class Waiting(NamedTuple):
    """A guardian who chose a password, and whose first mail address is not confirmed.

    Attributes:
        is_reminded: a reminder was sent within a week, so that none may be sent now.
        is_later: another mail to the account or the mailbox comes first, of a moment ago or of this list.
    """

    account_id: uuid.UUID
    class_name: str
    guardian: str
    is_reminded: bool
    is_later: bool


@dataclass
class Reminded:
    """The number of reminders, and of people who get none.

    Attributes:
        too_soon: they were reminded within a week.
        later: another mail went to the account or the mailbox a moment ago.
        nothing: they have nothing to confirm any more.
    """

    sent: int = 0
    too_soon: int = 0
    later: int = 0
    nothing: int = 0


def has_class(school: School, class_name: str) -> bool:
    """Return whether a pupil of the school is in the class."""
    pupils = select(Child.id).where(Child.school_id == school.id, Child.class_name == class_name)
    return db.session.scalar(pupils.limit(1)) is not None


def classes(school_id: uuid.UUID) -> list[str]:
    """Return the classes of a school with a pupil who is there, in their order; "" for pupils without a class."""
    names = select(Child.class_name).where(Child.school_id == school_id, Child.left_at.is_(None)).distinct()
    return sorted(db.session.scalars(names), key=class_order)


def remaining(school: School, class_name: str | None) -> list[Remaining]:
    """Return the guardians who still have to activate or to confirm an address, sorted by class, pupil and guardian.

    Disabled accounts are missing, and accounts that a dispute closes: no letter is printed for them.
    """
    incomplete = or_(Account.activated_at.is_(None), Account.email.is_(None) & ~Account.has_contested_email)
    ties = _ties(school, class_name).where(incomplete)
    return [
        Remaining(
            row.class_name,
            _name(row.pupil_family, row.pupil_given),
            _name(row.family_name, row.given_name),
            _missing(row),
            row.id,
        )
        for row in sorted(db.session.execute(ties), key=_order)
    ]


def _missing(row: Any) -> Missing:
    if row.activated_at is None:
        if row.provisional_hash is None or row.provisional_expires_at <= now():
            return Missing.LETTER
        return Missing.NEW_ACTIVATION if row.has_been_active else Missing.ACTIVATION
    if row.has_blocked_password:
        return Missing.LETTER
    return Missing.CONFIRMATION if row.pending_email is not None else Missing.EMAIL


def as_csv(rows: Iterable[Remaining], words: Mapping[Missing, Any]) -> bytes:
    """Return a list as a file for a spreadsheet, with the words for what is missing."""
    return b"".join(rows_to_csv(COLUMNS, ((*row[:3], str(words[row.missing])) for row in rows)))


def waiting(school: School, class_name: str | None) -> list[Waiting]:
    """Return the guardians whose first address waits for its confirmation, each once, sorted by class and name."""
    ties = _ties(school, class_name).where(
        Account.activated_at.is_not(None),
        Account.email.is_(None),
        Account.pending_email.is_not(None),
        ~Account.has_contested_email,
        ~Account.has_blocked_password,
    )
    first: dict[uuid.UUID, Any] = {}
    for row in sorted(db.session.execute(ties), key=lambda row: (row.rank, row.child_id)):
        first.setdefault(row.id, row)
    keys = [str(key) for key in first]
    reminded = guard.remaining_waits(limits.REMINDER, keys)
    paused = guard.remaining_waits(limits.RESEND_LINK_ACCOUNT, keys)
    emails_to_confirm = {fold_email(row.pending_email) for row in first.values()}
    mailboxes = set(guard.remaining_waits(limits.RESEND_LINK_MAILBOX, emails_to_confirm))
    rows = sorted(first.values(), key=lambda row: (class_order(row.class_name), *_by_name(row)))
    people = []
    for row in rows:
        mailbox, is_reminded = fold_email(row.pending_email), str(row.id) in reminded
        is_later = not is_reminded and (str(row.id) in paused or mailbox in mailboxes)
        if not is_reminded and not is_later:
            mailboxes.add(mailbox)
        people.append(Waiting(row.id, row.class_name, _name(row.family_name, row.given_name), is_reminded, is_later))
    return people


def remind(
    settings: Settings, people: Iterable[uuid.UUID], progress: Callable[[Reminded], None] | None = None
) -> Reminded:
    """Send a reminder to each of these accounts, within the limits.

    `progress` is called between two people; what it raises ends the reminders. Another call does not remind the same
    people again.
    """
    reminded = Reminded()
    for key in people:
        match emails.remind(settings, key):
            case emails.Sent():
                reminded.sent += 1
            case emails.TooSoon():
                if guard.remaining_waits(limits.REMINDER, [str(key)]):
                    reminded.too_soon += 1
                else:
                    reminded.later += 1
            case emails.NothingToConfirm():
                reminded.nothing += 1
        if progress:
            progress(reminded)
    return reminded


def _ties(school: School, class_name: str | None) -> Select[*tuple[Any, ...]]:
    moment = now()
    statement = (
        select(
            Account.id,
            Account.family_name,
            Account.given_name,
            Account.username,
            Account.activated_at,
            Account.has_blocked_password.label("has_blocked_password"),
            Account.has_been_active.label("has_been_active"),
            Account.provisional_hash,
            Account.provisional_expires_at,
            Account.pending_email,
            Guardianship.rank,
            Child.id.label("child_id"),
            Child.class_name,
            Child.family_name.label("pupil_family"),
            Child.given_name.label("pupil_given"),
        )
        .join(Guardianship, Guardianship.account_id == Account.id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(
            Child.school_id == school.id,
            Guardianship.where_holds(moment),
            Account.where_enabled(moment),
            ~Account.has_disputed_tie,
        )
    )
    return statement if class_name is None else statement.where(Child.class_name == class_name)


def _order(row: Any) -> tuple[Any, ...]:
    pupil = (folded(row.pupil_family), folded(row.pupil_given), str(row.child_id))
    return (class_order(row.class_name), *pupil, *_by_name(row))


def _by_name(row: Any) -> tuple[str, ...]:
    return (folded(row.family_name), folded(row.given_name), row.username)


def _name(family_name: str, given_name: str) -> str:
    return f"{family_name} {given_name}".strip()
