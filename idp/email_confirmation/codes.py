"""Confirms the email of an activation by the code of six digits that its mail has beside the link.

The code is for the browser that activated the account and shows « Consultez votre messagerie »; it does what the link
does. A code can be guessed, so each try is counted before the code is compared, and the fifth wrong try ends the code.
The link of the same mail still works then.
"""

import enum
import unicodedata
import uuid
from dataclasses import dataclass

from idp.accounts import mailboxes, one_time_links
from idp.accounts.models import Account
from idp.accounts.one_time_links import CODE_DIGITS, OneTimeLink, Purpose
from idp.audit import log
from idp.audit.credential_events import EmailCodeSpent
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.email_confirmation import service
from idp.email_confirmation.service import Used
from idp.sessions.after_activation import Here
from idp.throttle import guard, limits

TRIES = limits.EMAIL_CODE.windows[0].tries


class Accepted(enum.StrEnum):
    """What of the account's last mail confirms the address."""

    CODE_AND_LINK = "code"
    LINK = "link"
    NOTHING = "nothing"


@dataclass(frozen=True)
class WrongCode:
    """The code is wrong; the person has `left` further tries."""

    left: int


@dataclass(frozen=True)
class SpentCode:
    """No code of this mail is accepted: it was wrong too often, replaced or used, or the mail is too old."""


@dataclass(frozen=True)
class TooManyCodes:
    """A rate limit refused the try; the next one is possible in `seconds`."""

    seconds: int


@dataclass(frozen=True)
class MailboxTaken:
    """The code is right, but its mailbox may serve one account only and serves another."""


Outcome = Used | WrongCode | SpentCode | TooManyCodes | MailboxTaken


def digits_of(typed: str) -> str:
    """Return the six digits of `typed`, of any script and with blanks between them, or an empty string."""
    numbers = [unicodedata.decimal(char, -1) for char in "".join(typed.split())]
    return "".join(map(str, numbers)) if len(numbers) == CODE_DIGITS and min(numbers) >= 0 else ""


def accepted(account_id: uuid.UUID) -> Accepted:
    """Return what of the account's last mail is accepted now: its code ends before its link, by wrong tries."""
    link = one_time_links.find_alive(Purpose.CONFIRM_EMAIL, account_id)
    if link is None:
        return Accepted.NOTHING
    return Accepted.LINK if guard.remaining_wait(limits.EMAIL_CODE, str(link.id)) else Accepted.CODE_AND_LINK


def use(settings: Settings, account_id: uuid.UUID, digits: str, ip: str, here: Here) -> Outcome:
    """Confirm the email of the account's last mail if `digits` are its code. No unit of work may be open.

    Args:
        settings: for the secret key and the rule of shared mailboxes.
        account_id: the account that the browser activated.
        digits: what `digits_of` returned; an empty string is a wrong code.
        ip: the IP of the request, which has a rate limit too.
        here: the browser, which is signed in if it activated the account.

    Returns:
        What was done, or why nothing was: the code is wrong, or spent, or tried too often, or the mailbox is taken.
    """
    link = one_time_links.find_alive(Purpose.CONFIRM_EMAIL, account_id)
    if link is None:
        return SpentCode()
    slots = (
        (limits.EMAIL_CODE, str(link.id)),
        (limits.EMAIL_CODE_ACCOUNT, str(account_id)),
        (limits.EMAIL_CODE_IP, ip),
    )
    verdict = guard.take_all(*slots)
    if isinstance(verdict, guard.Wait):
        return SpentCode() if verdict.limit is limits.EMAIL_CODE else TooManyCodes(verdict.seconds)
    if not one_time_links.is_code(settings, link, digits):
        return _refused(account_id, verdict.count)
    value = one_time_links.token(settings, link) or ""
    used = service.use(settings, value, here)
    guard.settle_success(*slots)
    return used or _why_unused(settings, link)


def _refused(account_id: uuid.UUID, count: int) -> WrongCode | SpentCode:
    if count < TRIES:
        return WrongCode(TRIES - count)
    with unit_of_work():
        log.record(EmailCodeSpent(account_id=account_id))
    return SpentCode()


def _why_unused(settings: Settings, link: OneTimeLink) -> SpentCode | MailboxTaken:
    account = db.session.get(Account, link.account_id, populate_existing=True)
    taken = account is not None and account.email is None and settings.shared_mailbox == "refuse"
    return MailboxTaken() if account and taken and mailboxes.serves_another(account, link.email) else SpentCode()
