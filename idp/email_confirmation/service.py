"""The rules of the confirmation link and of the code of six digits beside it, and the mail that carries both.

The code is for the browser that activated the account and shows « Consultez votre messagerie »; it does what the link
does. A code can be guessed, so each try is counted before the code is compared, and the fifth wrong try ends the code.
The link of the same mail still works then.
"""

import enum
import unicodedata
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage

from sqlalchemy import select

from idp.accounts import authentication, directory, emails, mailboxes, one_time_links
from idp.accounts.authentication import Attempt, Refused, Throttled, VerifiedSecret
from idp.accounts.models import Account, School
from idp.accounts.one_time_links import CODE_DIGITS, LinkState, OneTimeLink, Purpose
from idp.accounts.passwords.hasher import Hasher
from idp.audit import log
from idp.audit.credential_events import EmailCodeSpent
from idp.clients import audience, registry
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.languages import of_account
from idp.mail.compose import compose
from idp.mail.smtp import deliver
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome
from idp.sessions import after_activation, manager
from idp.sessions.after_activation import Here, Opened
from idp.throttle import guard, limits


@dataclass(frozen=True)
class Question:
    """The values that the page of a link may show: nothing about the person (security row V-11).

    Attributes:
        state: the state of the link.
        changes: whether the address replaces a confirmed one.
        shared: whether the mailbox serves another account too; the person who opens the link reads that mailbox.
        refused: whether the link was not used because of that (`IDP_SHARED_MAILBOX`).
        waits_elsewhere: whether another browser waits for the link, and is signed in once it is used.
        asks_password: whether the link works here with the account's password only: a mistyped address is a stranger's.
    """

    state: LinkState
    changes: bool = False
    shared: bool = False
    refused: bool = False
    waits_elsewhere: bool = False
    asks_password: bool = False


@dataclass(frozen=True)
class Used:
    """A link that was used now; `opened` is the session of the browser that used it, if it got one."""

    link: OneTimeLink
    opened: Opened | None


def correct(
    settings: Settings, hasher: Hasher, attempt: Attempt, to: str, client_id: uuid.UUID | None
) -> emails.Resent | Refused | Throttled:
    """Replace the first address by `to`, if the password of `attempt` is the account's own.

    Raises:
        HasherBusyError: the hash could not be computed in time; nothing was decided.
    """

    def admit(verified: VerifiedSecret) -> emails.Resent | None:
        return emails.correct(settings, verified, to, ip=attempt.ip, client_id=client_id)

    return authentication.verify_secret(settings, hasher, attempt, admit)


def resent_at(account_id: uuid.UUID) -> datetime | None:
    """Return the time of the last message, None for the first one: the page says that earlier links do not work."""
    sent = db.session.scalars(
        select(OneTimeLink.created_at)
        .where(OneTimeLink.account_id == account_id, OneTimeLink.purpose == Purpose.CONFIRM_EMAIL.value)
        .order_by(OneTimeLink.created_at.desc())
        .limit(2)
    ).all()
    return sent[0] if len(sent) > 1 else None


@unit_of_work()
def use(settings: Settings, value: str, here: Here, *, leaves: bool = False) -> Used | None:
    """Use the link `value`, confirm its address and sign its person in if the account was activated `here`.

    `leaves` says that the person, whose password the caller has verified (`Question.asks_password`), has left the other
    browser that waits: this one is signed in instead, unless somebody is.
    Return None if the link does not work, or if its mailbox may not serve this account.
    """
    link = emails.confirm(settings, value)
    if link is None:
        return None
    if _changes(link):
        return Used(link, None)
    if leaves:
        after_activation.end_elsewhere(link.account_id)
    proved = leaves and not manager.current()
    return Used(link, after_activation.sign_in(link.account_id, link.generation, here, proved=proved))


@unit_of_work()
def sign_in(account_id: uuid.UUID, generation: int, here: Here) -> Opened | None:
    """Sign in the person who activated the account `here`, when the address was confirmed elsewhere.

    `generation` is the account's before the activation.
    """
    account = directory.get_for_change(account_id)
    if account is None or not account.changed_once_since(generation):
        return None
    return after_activation.sign_in(account_id, account.generation, here)


def look(settings: Settings, value: str) -> Question:
    """Return the values that the page of the link `value` may show; change nothing."""
    link = emails.find_link(value)
    account = db.session.get(Account, link.row.account_id, populate_existing=True) if link.row else None
    state = link.state
    if link.row is None or account is None:
        return Question(state)
    if state is LinkState.USED and account.usable_email != link.row.email:
        state = LinkState.DEAD
    alive = state is LinkState.ALIVE
    asks_password = alive and not after_activation.is_owners(account)
    if asks_password and emails.find_link(value).state is not LinkState.ALIVE:
        return look(settings, value)  # the first of two clicks used it, and so changed the account, between the reads
    shared = state is not LinkState.DEAD and mailboxes.serves_another(account, link.row.email)
    return Question(
        state,
        _changes(link.row),
        shared=shared,
        refused=shared and alive and settings.shared_mailbox == "refuse",
        waits_elsewhere=not _changes(link.row) and after_activation.waits_elsewhere(account),
        asks_password=asks_password,
    )


def _changes(link: OneTimeLink) -> bool:
    return Purpose(link.purpose) is Purpose.CHANGE_EMAIL


def resend_for_link(settings: Settings, value: str, ip: str) -> bool:
    """Send a new link in place of one that does not work, to the address that waits for confirmation, if any.

    Nothing is sent once the account's password has changed: a request made with the former password ends there. Return
    False only for a link that was never issued, so that the answer tells nothing else.
    """
    row = emails.find_link(value).row
    account = db.session.get(Account, row.account_id, populate_existing=True) if row else None
    if row is None or account is None:
        return False
    if not one_time_links.is_used(row) and one_time_links.is_current(row, account):
        emails.resend(settings, row.account_id, ip=ip, client_id=row.client_id)
    return True


def account_and_ent(value: str) -> tuple[Account | None, registry.Registration | None]:
    """Return the account of a link, and the ENT that the link's page leads to; see `audience.first_ent`."""
    row = emails.find_link(value).row
    account = db.session.get(Account, row.account_id) if row else None
    return account, audience.first_ent(account, row.client_id) if row and account else None


def hand_over(message: OutboxMessage, settings: Settings) -> Outcome:
    """Send the mail of a link (outbox handler).

    If half of the link's time is over, or its token cannot be computed any more, another link is sent instead. The mail
    is dropped if the link is no longer wanted.
    """
    mail = _write(message, settings)
    if mail is None:
        return Outcome.DROPPED
    deliver(*mail)
    return Outcome.DONE


@unit_of_work()
def _write(message: OutboxMessage, settings: Settings) -> tuple[EmailMessage, str] | None:
    """Return the mail and its recipient, or None if this message sends none; issue another link if it is needed."""
    link = db.session.get(OneTimeLink, uuid.UUID(message.payload["link"]), populate_existing=True)
    account = directory.get_for_change(link.account_id) if link else None
    if link is None or account is None or not _still_wanted(link, account):
        return None
    value, reminds = one_time_links.token(settings, link), "reminds" in message.payload
    if value is None or one_time_links.is_mostly_over(link, settings.lifetime("email_link_lifetime")):
        emails.send_link(settings, account, link.client_id, reminds=reminds)
        return None
    ents = _ents(settings, account, link.client_id)
    mail = compose(
        "nouvelle_adresse" if _changes(link) else "rappel" if reminds else "confirmation",
        recipient=link.email,
        context=_context(settings, account, link, value, ents),
        other_urls=[url for _, url, _ in ents],
        message_id=f"{message.id}",
        settings=settings,
        language=of_account(account.locale),
    )
    return mail, link.email


def _context(
    settings: Settings, account: Account, link: OneTimeLink, value: str, ents: list[tuple[str, str, str]]
) -> dict[str, object]:
    ent, schools = audience.first_ent(account, link.client_id), directory.schools(account)
    return {
        "person": account.short_name,
        "ent": ent.name if ent else "",
        "ents": ents,
        "schools": _names(schools),
        "schools_number": len(schools),
        "link": f"{settings.issuer}/adresse/lien/{value}",
        "code": one_time_links.code(settings, link),
        "hours": int((link.expires_at - now()).total_seconds() + 60) // 3600,
    }


def _ents(settings: Settings, account: Account, came_from: uuid.UUID | None) -> list[tuple[str, str, str]]:
    """Return the name, the URL and the schools of each ENT, if the family has several.

    The mail names no child: nobody has confirmed the address yet.
    """
    first = audience.first_ent(account, came_from)
    ents = audience.ents_of_children(account, first) if first else []
    return [
        (ent.name, ent.home_uri or ent.entrance(settings.issuer), _names({child.school for child in children}))
        for ent, children in ents
        if len(ents) > 1
    ]


def _names(schools: Iterable[School]) -> str:
    return ", ".join(sorted(school.name for school in schools))


def _still_wanted(link: OneTimeLink, account: Account) -> bool:
    return (
        one_time_links.is_unused(link)
        and one_time_links.is_current(link, account)
        and account.is_enabled_at(now())
        and account.pending_email == link.email
    )


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


CodeOutcome = Used | WrongCode | SpentCode | TooManyCodes | MailboxTaken


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


def use_code(settings: Settings, account_id: uuid.UUID, digits: str, ip: str, here: Here) -> CodeOutcome:
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
    used = use(settings, value, here)
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
