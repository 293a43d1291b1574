"""An operator's view of an account and of refused acts on it, in English: never a secret, never a whole mail address.

An operator who acts for one school sees the accounts of its children's guardians, and nothing of other schools
(security row K-04): every other account is reported as missing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import click
from sqlalchemy import ColumnElement, exists, false, func, or_, select
from sqlalchemy.orm import aliased

from idp.accounts import closing_acts, directory
from idp.accounts.closings import Closing, Kind
from idp.accounts.models import Account, Child, Guardianship, School, SchoolNotice
from idp.accounts.passwords.hasher import MAX_USERNAME_LENGTH, fold_username
from idp.audit import log
from idp.audit.events import AccountHidden, AccountRead
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk.search.query import Terms, condition
from idp.families.refusals import Code, RefusedError
from idp.families.standing import Standing, standings
from idp.mail.emails import masked, masked_apart
from idp.passkeys import keys
from idp.sessions import listed
from idp.terminal import instant, plain
from idp.throttle import guard, limits
from idp.uai import UAI_LENGTH, normalised_uai


def get_school(uai: str | None) -> School | None:
    """Return the school of a UAI; None for no UAI.

    Raises:
        NotFoundError: there is no such school.
    """
    if uai is None:
        return None
    normalised = normalised_uai(uai)
    school = (
        db.session.scalar(select(School).where(School.uai == normalised)) if len(normalised) <= UAI_LENGTH else None
    )
    if school is None:
        raise NotFoundError(f"no school {uai}")
    return school


def get_account(username: str, school: School | None) -> Account:
    """Return the account of a typed identifier.

    Raises:
        NotFoundError: there is none, or none with a child in `school`; the journal records the latter.
    """
    folded = fold_username(username)
    account = db.session.scalar(select(Account).where(Account.username == folded)) if folded else None
    if account is not None and school is not None and not _is_in(account, school):
        with unit_of_work():
            log.record(AccountHidden(account_id=account.id, school=school.uai))
        account = None
    if account is None:
        raise NotFoundError(f"no account {username}")
    return account


def _is_in(account: Account, school: School) -> bool:
    return bool(db.session.scalar(select(Account.id).where(Account.id == account.id, _concerns(school))))


def _concerns(school: School) -> ColumnElement[bool]:
    """Return the condition of the accounts that concern a school (`directory.concerns_its_school`).

    An account whose tie the school itself ended also does: the school may take that back.
    """
    tie = (Guardianship.account_id == Account.id) & (Guardianship.child_id == Child.id)
    concerned = or_(directory.concerns_its_school(), Guardianship.where_closed_as(Kind.EXCLUDED))
    return exists().where(tie, Child.school_id == school.id, concerned).correlate(Account)


def find(text: str | None, school: School | None, most: int) -> list[Account]:
    """Return up to `most` accounts that match `text`, by identifier, after the journal recorded that they were read."""
    conditions = [_matches(text)] if text is not None else []
    conditions += [_concerns(school)] if school is not None else []
    accounts = list(db.session.scalars(select(Account).where(*conditions).order_by(Account.username).limit(most)))
    with unit_of_work():
        for account in accounts:
            log.record(AccountRead(account_id=account.id, school=school.uai if school else ""))
    return accounts


def _matches(text: str) -> ColumnElement[bool]:
    """Return the condition of a text: an identifier or its beginning, beginnings of a name's words, or an email."""
    terms = Terms.parse(text)
    if terms.mailbox:
        emails = Account.email, Account.pending_email, Account.school_email
        return or_(*(func.lower(email) == terms.mailbox for email in emails))
    username = fold_username(text) if len(text) <= MAX_USERNAME_LENGTH else None
    by_name = condition(Account.search_text, terms.beginnings()) if terms.words else false()
    return or_(by_name, Account.username.startswith(username, autoescape=True)) if username else by_name


def line(account: Account, school: School | None) -> dict[str, Any]:
    """Return a search's row for an account."""
    return {
        "username": account.username,
        "name": account.display_name,
        "state": state(account),
        "schools": sorted({child.school.uai for child in _children(account, school)}),
    }


def describe(account: Account, school: School | None) -> dict[str, Any]:
    """Return an operator's view of an account, limited to `school` if given, after the journal recorded the access."""
    with unit_of_work():
        log.record(AccountRead(account_id=account.id, school=school.uai if school else ""))
    ties = [link for link in account.guardianships if school is None or link.child.school_id == school.id]
    moment = now()
    contest = closing_acts.contest_of(account.id)
    former_email, email = masked_apart(contest.email if contest else None, account.email)
    return {
        **line(account, school),
        "created_at": instant(account.created_at),
        "letter_valid_until": instant(account.provisional_expires_at) if account.activated_at is None else None,
        "activated_at": instant(account.activated_at),
        "first_activated_at": instant(account.first_activated_at),
        "email": email,
        "email_confirmed_at": instant(account.email_confirmed_at),
        "email_waiting": masked(account.pending_email),
        "password_changed_at": instant(account.password_changed_at),
        "password_state": account.password_state.value,
        "contested_at": instant(contest.begun_at if contest else None),
        "contested_email": former_email,
        "last_sign_in_at": instant(account.last_sign_in_at),
        "inactive_warned_at": instant(account.inactive_warned_at),
        "disabled_at": instant(account.disabled_at),
        "merged_into": account.merge.into.username if account.merge else None,
        "passkeys": keys.count(account.id),
        "open_sessions": len(listed.open_sessions(account)),
        "wait_seconds": guard.remaining_wait(limits.SIGN_IN_ACCOUNT, account.username),
        "children": [
            {
                "given_name": child.given_name,
                "family_name": child.family_name,
                "class": child.class_name,
                "uai": child.school.uai,
                "school": child.school.name,
            }
            for child in _children(account, school)
        ],
        "closed": [_named(link, until=instant(link.announced_end)) for link in ties if link.is_shut_at(moment)],
        "disputed": [
            _named(link, since=instant(row.begun_at)) for link, row in _closings(ties, Kind.DISPUTED) if link.is_unended
        ],
        "ended_by_school": [
            _named(link, at=instant(row.begun_at), reason=row.reason) for link, row in _closings(ties, Kind.EXCLUDED)
        ],
        "notices": _notices(account, school),
    }


def state(account: Account) -> str:
    """Return the account's state in words, the most important first."""
    return ", ".join(_words(account, standing) for standing in standings(account))


def _words(account: Account, standing: Standing) -> str:
    until = account.announced_end
    if standing is Standing.CLOSED and until is not None:
        return f"{standing.value} until {instant(until)}"
    return standing.value


def _closings(ties: Sequence[Guardianship], kind: Kind) -> list[tuple[Guardianship, Closing]]:
    return [(link, row) for link in ties for row in link.closings if row.kind == kind]


def _named(link: Guardianship, **more: str | None) -> dict[str, str | None]:
    child = link.child
    return {
        "key": child.key,
        "given_name": child.given_name,
        "family_name": child.family_name,
        "uai": child.school.uai,
        **more,
    }


def _children(account: Account, school: School | None) -> list[Child]:
    return [child for child in account.children if school is None or child.school_id == school.id]


def _notices(account: Account, school: School | None) -> list[dict[str, Any]]:
    first, second = aliased(Account), aliased(Account)
    rows = db.session.execute(
        select(SchoolNotice.id, SchoolNotice.kind, SchoolNotice.created_at, School.uai, first.username, second.username)
        .join(School, School.id == SchoolNotice.school_id)
        .join(first, first.id == SchoolNotice.account_id)
        .outerjoin(second, second.id == SchoolNotice.other_account_id)
        .where(
            or_(SchoolNotice.account_id == account.id, SchoolNotice.other_account_id == account.id),
            SchoolNotice.settled_at.is_(None),
        )
        .order_by(SchoolNotice.created_at)
    )
    return [
        # an operator who acts for one school learns of no account elsewhere
        {
            "id": str(key),
            "kind": kind,
            "at": instant(at),
            "uai": uai,
            "accounts": [name for name in names if name] if school is None else [],
        }
        for key, kind, at, uai, *names in rows
        if school is None or school.uai == uai
    ]


SENTENCES: Mapping[Code, str] = {
    Code.GONE: "the account was removed meanwhile",
    Code.NOT_DISABLED: "{name} is not disabled",
    Code.NOT_MERGED: "{name} is not merged into another account",
    Code.MERGED: "{name} was merged into {other}, which has its children",
    Code.MERGED_TOO: "{name} was merged too: unlink {name} first",
    Code.MAILBOX_OF_OTHER: (
        "{name} stays disabled: another account has confirmed its mailbox meanwhile, and IDP_SHARED_MAILBOX=refuse; "
        "one of the two needs another mailbox"
    ),
    Code.NO_SUCH_CLOSING: "there is no such closing",
    Code.CLOSING_OVER: "the closing is over already",
    Code.ERASE_OTHER: "{name} was merged into {other}: erase that account",
    Code.MERGED_ACCOUNTS_CHANGED: "the accounts merged into {name} changed meanwhile: try again",
    Code.IN_DISPUTE: "{name} is in dispute: the school settles that at the desk, then erase",
    Code.CLOSED_WITHOUT_CHILD: (
        "{name} is closed and has no child, so that nothing can be kept of the closing: wait for its end, or "
        "reopen it with `idp account reopen {name}`, then erase"
    ),
    Code.EXCLUDED: (
        "the school has decided that {name} is not the guardian of a child whom its file still gives to them, and the "
        "next file would restore that tie: have the school take it out of its file, import that file, then erase"
    ),
    Code.PROMISED_NOTICE: (
        "a school was promised to hear about {name}, and has not answered: `idp account show {name}` names its "
        "notices, and the school answers at the desk, then erase"
    ),
}
"""The sentences of the refusals that a command can meet; all other acts are the desk's alone."""


class NotFoundError(Exception):
    """There is no such account or school for this operator; the message is the sentence to show."""


class RefusingGroup(click.Group):
    """Commands whose refusals are errors of the command."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(context)
        except NotFoundError as missing:
            raise click.ClickException(plain(missing)) from missing
        except RefusedError as refused:
            raise click.ClickException(plain(SENTENCES[refused.code].format(**refused.values))) from refused
