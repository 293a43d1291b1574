"""A new letter for people who lost theirs, or who lost both their mailbox and their password.

Until the new letter has served, the account is as it was before the first: imported, with one secret that opens an
activation and nothing else. Whoever holds the account at that moment is told at its confirmed address (security row
K-05): a letter must not be a quiet way to take an account over.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from idp.accounts import directory, notices, tokens
from idp.accounts.models import Account, School
from idp.accounts.notices import Notice
from idp.accounts.passwords import Hasher, fold_username
from idp.accounts.tokens import Purpose
from idp.audit import log
from idp.audit.events import LetterDrawn, LetterReissued
from idp.clients import registry
from idp.clock import now
from idp.config import Settings
from idp.db import db, end_read
from idp.letters import pdf, provisional
from idp.sessions import manager
from idp.throttle import guard, limits

LONGEST_REASON = 200
_GREETINGS = {"Mme": "Madame", "M.": "Monsieur"}
_HOME = frozenset({"", "france"})


class Refused(Exception):  # noqa: N818 - says what it is
    """Nothing was drawn and nothing changed; the text is the sentence to show."""


@dataclass(frozen=True)
class _Drawn:
    """A letter that is printed and does not open anything yet; `generation` is the account's when it was looked at."""

    account_id: uuid.UUID
    username: str
    generation: int
    hashed: str
    letter: pdf.Letter


def reissue(
    settings: Settings, hasher: Hasher, usernames: Sequence[str], reason: str, write: Callable[[bytes], None]
) -> int:
    """Print a letter with a fresh secret for each identifier, all or none; return how many.

    `write` keeps the PDF. It is called before the database knows the secrets, so that no account ever has a letter that
    nobody can read; whatever goes wrong after it, no printed secret opens anything.

    Args:
        settings: how long the secret is good, and what every letter says.
        hasher: hashes the secrets.
        usernames: as an operator types them; each account once, however often it is named.
        reason: why an account that is active gets a letter: it goes into the journal. Needed for those alone.
        write: keeps the file, or raises.

    Raises:
        Refused: an account is unknown, disabled, without children or ENT, active and no reason is given.
        pdf.LetterError: a letter cannot be printed truthfully.
        Busy: no turn came for a hash.
    """
    expires_at = now() + timedelta(days=settings.provisional_days)
    accounts = {account.id: account for account in map(_get, usernames)}
    for account in accounts.values():
        if account.activated_at is not None and not reason:
            raise Refused(f"{account.username} is active: a new letter closes it until then, say why with --reason")
    letters = [(account, _letter(settings, account, expires_at)) for account in accounts.values()]
    end_read()
    drawn = [
        _Drawn(
            account.id,
            account.username,
            account.generation,
            hasher.hash(letter.provisional_password, "sign_in"),
            letter,
        )
        for account, letter in letters
    ]
    write(pdf.render(one.letter for one in drawn))
    for one in sorted(drawn, key=lambda one: one.account_id):  # locked in one order by everybody
        _exchange(settings, one, expires_at, reason)
    db.session.commit()
    for one in drawn:
        for limit in (limits.SIGN_IN_ACCOUNT, limits.FORGOTTEN_PASSWORD_ACCOUNT):
            guard.clear(limit, one.username)
    return len(drawn)


def _get(username: str) -> Account:
    folded = fold_username(username)
    account = directory.find_by_username(folded) if folded else None
    if account is None:
        raise Refused(f"no account {username}")
    if account.merged_into_id is not None:
        kept = db.session.get_one(Account, account.merged_into_id)
        raise Refused(f"the children of {account.username} are with {kept.username}: print that letter")
    if account.disabled_at is not None:
        raise Refused(f"{account.username} is disabled, its letter would open nothing")
    if not account.children:
        raise Refused(f"{account.username} has no child in a school, so that no school writes to it")
    return account


def _exchange(settings: Settings, drawn: _Drawn, expires_at: datetime, reason: str) -> None:
    """Put the new secret in the place of all that opened the account, in the caller's transaction."""
    account = directory.get_for_change(drawn.account_id)
    if account is None or account.generation != drawn.generation or account.disabled_at is not None:
        db.session.rollback()
        raise Refused(f"{drawn.username} changed meanwhile, try again")
    if account.activated_at is not None:
        _close(settings, account, reason)
    directory.close_notices(account.id)
    account.provisional_hash, account.provisional_expires_at = drawn.hashed, expires_at
    account.generation += 1
    log.record(LetterDrawn(account_id=account.id))


def _close(settings: Settings, account: Account, reason: str) -> None:
    """Take an active account back to where its first letter found it, its owner told first."""
    tokens.revoke(account.id, *Purpose)
    if account.email is not None:
        # A link that is dead from the start: its row keeps, for the mail alone, the address that the account loses.
        former = tokens.issue(
            settings, Purpose.CHANGE_EMAIL, account, address=account.email, lifetime=timedelta(), keep_older=True
        )
        notices.tell(Notice.LETTER_REISSUED, account.id, link=former)
    account.password_hash = account.password_blocked_at = account.recovery_frozen_until = None
    account.email = account.email_confirmed_at = account.pending_email = None
    account.activated_at = account.activated_in = account.inactive_warned_at = None
    manager.end_all(account.id, by="letter")
    log.record(LetterReissued(account_id=account.id, reason=reason))


def _letter(settings: Settings, account: Account, expires_at: datetime) -> pdf.Letter:
    """Return the letter of an account, from the school of its first child, with a secret that was drawn for it."""
    school = directory.schools(account)[0]
    town = f"{account.postcode} {account.city}".strip()
    country = "" if account.country.strip().casefold() in _HOME else account.country
    return pdf.Letter(
        service_name=settings.service_name,
        academy=settings.academy,
        place="",
        printed_on=now().astimezone().date(),
        school_name=school.name,
        school_address=school.address,
        school_phone=school.phone,
        recipient=[part for part in (account.display_name, *account.address_lines, town, country) if part],
        greeting=_GREETINGS.get(account.civility, ""),
        children=[pdf.LetterChild(child.given_name, child.class_name) for child in account.children],
        ent_address=_ent_address(account, school),
        username=account.username,
        provisional_password=provisional.draw(),
        valid_until=expires_at.astimezone().date(),
        help_phone=settings.support_phone,
        help_hours=settings.support_hours,
        dpo_mail=settings.dpo_mail,
    )


def _ent_address(account: Account, school: School) -> str:
    """Return where a parent enters the ENT that serves `school`."""
    ent = registry.serving([school.uai])
    if ent is None or not ent.home:
        raise Refused(f"no ENT with a home address serves {school.uai}, where {account.username} would go")
    return ent.home
