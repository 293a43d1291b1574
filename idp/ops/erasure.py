"""Erases a person at once (GDPR article 17), and names what must stay."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import delete, exists, func, or_, select

from idp.accounts import directory, disputes, school_notices
from idp.accounts.models import Account, Guardianship, SchoolNotice
from idp.audit.data_events import AccountErased
from idp.audit.models import AuditEntry
from idp.config import Settings
from idp.db import db
from idp.oidc import backchannel
from idp.ops import personal_export, removal
from idp.ops.desk import Refused
from idp.ops.personal_cuts import Person
from idp.rostering.models import ImportIssue
from idp.throttle import guard, limits

LONGEST_REASON = 200


@dataclass(frozen=True)
class Kept:
    """Something that stays: its name in the journal, and the sentence that says why."""

    name: str
    why: str


@dataclass(frozen=True)
class Erased:
    """What was done: how many accounts went, how many sign-outs the ENTs are told of, what stays."""

    accounts: int
    told: int
    kept: list[Kept]


def erase(settings: Settings, account_id: uuid.UUID, reason: str) -> Erased:
    """Remove an account, and those that were merged into it, in one transaction with their line in the journal.

    Nothing is mailed: no message could leave without keeping the address for it. Whoever asked is answered in writing.

    Raises:
        Refused: the account must stay; nothing was done.
    """
    account = directory.get_for_change(account_id)
    if account is None:
        raise _refused("the account was removed meanwhile")
    if account.merged_into_id is not None:
        main = db.session.get_one(Account, account.merged_into_id)
        raise _refused(f"{account.username} was merged into {main.username}: erase that account")
    person, username = personal_export.person_of(account), account.username
    _check_disputes(person, username)
    _check_notices(person, username)
    kept = list(_kept(settings, person))
    told = 0
    for key in [*sorted(person.accounts - {account_id}, key=str), account_id]:
        told += backchannel.announce_removal(key)
        event = AccountErased(account_id=key, reason=reason, kept=[one.name for one in kept])
        removal.erase(db.session.get_one(Account, key), event)
    of_person = ImportIssue.key.in_(person.roster_keys)
    db.session.execute(delete(ImportIssue).where(of_person).execution_options(synchronize_session=False))
    db.session.commit()
    db.session.expunge_all()
    for limit in (limits.SIGN_IN_ACCOUNT, limits.FORGOTTEN_PASSWORD_ACCOUNT):
        guard.clear(limit, username)
    return Erased(len(person.accounts), told, kept)


def _check_disputes(person: Person, username: str) -> None:
    """Refuse to erase what keeps a child safe, or the account of somebody whose question is open.

    A school's decision that the person is not the guardian of a child lives in the tie. Without it, the next import
    would give the child back to the person.

    Raises:
        Refused: a tie or the address is in dispute, or the school shut the person out of a tie.
    """
    ties = Guardianship.account_id.in_(person.accounts)
    contested = exists().where(Account.id.in_(person.accounts), Account.contested_at.is_not(None))
    if db.session.scalar(select(or_(exists().where(ties, disputes.tie_is_disputed()), contested))):
        raise _refused(f"{username} is in dispute: settle it with `idp account disputes {username}`, then erase")
    if db.session.scalar(select(exists().where(ties, Guardianship.excluded_at.is_not(None)))):
        raise _refused(
            f"the school has decided that {username} is not the guardian of a child whom its file still gives to them, "
            "and the next file would open that tie again: have the school take it out of its file, import that file, "
            "then erase"
        )


def _check_notices(person: Person, username: str) -> None:
    """Refuse to erase an account of which somebody read that the school is told.

    Raises:
        Refused: the school has not settled it.
    """
    waits = SchoolNotice.account_id.in_(person.accounts) & school_notices.is_open(school_notices.PROMISED)
    keys = db.session.scalars(select(SchoolNotice.id).where(waits).order_by(SchoolNotice.created_at)).all()
    if keys:
        raise _refused(
            f"a school was promised to hear about {username}, and has not answered. See `idp school notices --open`, "
            f"settle each with `idp school notices --settle ID --sentence …`, then erase: {', '.join(map(str, keys))}"
        )


def _kept(settings: Settings, person: Person) -> Iterator[Kept]:
    """Yield what stays, and why."""
    events = db.session.scalar(
        select(func.count()).select_from(AuditEntry).where(AuditEntry.account_id.in_(person.accounts))
    )
    yield Kept(
        "journal",
        f"the journal keeps {events} events without address and details, as proof of what was done, each for "
        f"{settings.audit_days} days at most; the key in them leads to nobody",
    )
    if person.children:
        yield Kept("pupils", "the children stay: they are pupils of the school, and leave with its file")
    if person.roster_keys:
        yield Kept(
            "school_file",
            "the school's file names the person: the next import brings a new account with a new identifier and a new "
            "letter, unless the school takes the person out of its file",
        )
    yield Kept("ents", "the ENTs have accounts of their own: they were told to sign the person out, nothing more")
    yield Kept("copies", "backups of the database and mails that were sent are out of this command's reach")


def _refused(sentence: str) -> Refused:
    db.session.rollback()
    return Refused(sentence)
