"""Confirmation of mail addresses, shared by every flow that asks for one.

A first address waits until its link is used. A confirmed address stays until the link sent to the new address is used.
The former mailbox is told when the change is requested and again when it is applied, each time with a link that stops
the change (security rows E-04 and E-05).
"""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask_babel import lazy_gettext as _
from flask_babel.speaklater import LazyString
from sqlalchemy import select

from idp.accounts import directory, mailboxes, notices, one_time_links
from idp.accounts.authentication import VerifiedSecret
from idp.accounts.models import Account
from idp.accounts.notices import Notice
from idp.accounts.one_time_links import Link, OneTimeLink, Purpose
from idp.audit import log
from idp.audit.credential_events import EmailChangeAsked, EmailChangeCancelled, EmailConfirmed, EmailLinkSent
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.mail.emails import EmailFault, InvalidEmailError, fold_email, parse_email
from idp.outbox import queue
from idp.throttle import guard, limits

CONFIRM_EMAIL = "confirm_email"
"""The kind of outbox message that carries a link to confirm an address; its payload names the link's row."""

_PAUSE_SECONDS = 60


@dataclass(frozen=True)
class Sent:
    """The mail with the link is in the outbox."""


@dataclass(frozen=True)
class TooSoon:
    """A rate limit allows no mail for another `seconds`."""

    seconds: int

    @property
    def capped(self) -> bool:
        """Whether the wait is longer than the pause between two mails."""
        return self.seconds > _PAUSE_SECONDS


@dataclass(frozen=True)
class NothingToConfirm:
    """No address of the account waits for confirmation, the account is disabled, or its password is blocked."""


Resent = Sent | TooSoon | NothingToConfirm


def _last_link(settings: Settings, account: Account, email: str) -> OneTimeLink:
    """Return the newest link that was sent to `email`; a mail takes its recipient from that row."""
    sent = db.session.scalar(
        select(OneTimeLink)
        .where(OneTimeLink.account_id == account.id, OneTimeLink.email == email)
        .order_by(OneTimeLink.created_at.desc())
        .limit(1)
    )
    # the purge may have removed all of them: a link that has already expired keeps the address as well
    return sent or one_time_links.issue(settings, Purpose.CONFIRM_EMAIL, account, email=email, lifetime=timedelta())


def take_slots(account_id: uuid.UUID, email: str, ip: str, *, corrected: bool = False) -> int:
    """Count a mail for the account, the mailbox and the IP, or for none of them; return the wait.

    The wait is in seconds, 0 if the mail may be sent. A `corrected` address has its own rate limit for the account,
    without the pause of a resend. No unit of work may be open.
    """
    return guard.take_or_wait(
        (limits.CORRECT_EMAIL if corrected else limits.RESEND_LINK_ACCOUNT, str(account_id)),
        (limits.RESEND_LINK_MAILBOX, fold_email(email)),
        (limits.RESEND_LINK_IP, ip),
    )


def take_slots_for_another(account_id: uuid.UUID, email: str, ip: str) -> int:
    """Count a mail as `take_slots` does, for an address that was just typed; return the wait in seconds.

    The pause between two mails protects one mailbox, so it does not apply to another address. Every longer limit does.
    """
    waiting = db.session.scalar(select(Account.pending_email).where(Account.id == account_id))
    corrected = waiting is None or fold_email(waiting) != fold_email(email)
    return take_slots(account_id, email, ip, corrected=corrected)


def send_link(
    settings: Settings, account: Account, client_id: uuid.UUID | None, *, reminds: bool = False
) -> OneTimeLink:
    """Issue a link for the account's pending address and put its mail in the outbox, in the caller's transaction.

    `reminds`: whether the mail says that the school reminds the person, who did not ask for it.
    """
    email = account.pending_email
    if email is None:
        raise ValueError("no address waits for confirmation")
    link = one_time_links.issue(
        settings,
        Purpose.CHANGE_EMAIL if account.email else Purpose.CONFIRM_EMAIL,
        account,
        email=email,
        lifetime=settings.lifetime("email_link_lifetime"),
        client_id=client_id,
    )
    queue.enqueue(CONFIRM_EMAIL, {"link": str(link.id), **({"reminds": True} if reminds else {})})
    log.record(EmailLinkSent(account_id=account.id, client_id=client_id, mail_domain=_domain(email)))
    return link


def resend(
    settings: Settings, account_id: uuid.UUID, *, ip: str, client_id: uuid.UUID | None, reminds: bool = False
) -> Resent:
    """Send a new link to the pending address; the older link stops working. `reminds`: see `send_link`.

    The rate limits are checked before anything is written (security row E-10).
    """
    pending = db.session.scalar(select(Account.pending_email).where(Account.id == account_id))
    if not pending:
        return NothingToConfirm()
    if wait := take_slots(account_id, pending, ip):
        return TooSoon(wait)
    return _send_again(settings, account_id, pending, client_id, reminds=reminds)


def remind(settings: Settings, account_id: uuid.UUID) -> Resent:
    """Send a new link as `resend` does, because the school asks for it: one mail a week for each account.

    The limits of the account and of the mailbox apply; there is no IP of a person.
    """
    pending = db.session.scalar(select(Account.pending_email).where(Account.id == account_id))
    if not pending:
        return NothingToConfirm()
    wait = guard.take_or_wait(
        (limits.REMINDER, str(account_id)),
        (limits.RESEND_LINK_ACCOUNT, str(account_id)),
        (limits.RESEND_LINK_MAILBOX, fold_email(pending)),
    )
    return TooSoon(wait) if wait else _send_again(settings, account_id, pending, None, reminds=True)


def _send_again(
    settings: Settings, account_id: uuid.UUID, pending: str, client_id: uuid.UUID | None, *, reminds: bool
) -> Resent:
    with unit_of_work():
        account = directory.get_for_change(account_id)
        if account is None or not account.is_enabled_at(now()) or account.has_contested_email:
            return NothingToConfirm()
        if account.pending_email != pending or account.has_blocked_password:
            return NothingToConfirm()
        send_link(settings, account, client_id, reminds=reminds)
    return Sent()


def correct(
    settings: Settings, verified: VerifiedSecret, to: str, *, ip: str, client_id: uuid.UUID | None
) -> Resent | None:
    """Replace a first address that is not confirmed by `to`, and send the link.

    The caller has verified the password. The abandoned mailbox is told, and its link stops working. Return None without
    any change if the account changed since the password was compared. The rate limits of a resend apply. No unit of
    work may be open.
    """
    if wait := take_slots_for_another(verified.account_id, to, ip):
        return TooSoon(wait)
    return _replace(settings, verified, to, client_id)


@unit_of_work()
def _replace(settings: Settings, verified: VerifiedSecret, to: str, client_id: uuid.UUID | None) -> Resent | None:
    account = directory.get_for_change(verified.account_id)
    if account is None or not verified.still_holds(account) or account.has_blocked_password:
        return None
    if account.email is not None or account.has_contested_email:
        return NothingToConfirm()
    abandoned = account.pending_email
    if abandoned is not None and fold_email(abandoned) != fold_email(to):
        notices.tell(Notice.EMAIL_ABANDONED, account.id, link=_last_link(settings, account, abandoned))
    account.pending_email = to
    send_link(settings, account, client_id)
    if abandoned is not None:  # without a first address, the activation told the file's mailbox
        mailboxes.tell_file_mailbox(settings, account, to)
    return Sent()


def ask_change(settings: Settings, account: Account, email: str) -> None:
    """Send a link that confirms `email`, in the caller's transaction; the caller has locked the account's row.

    Only the last requested address can be confirmed. A confirmed address stays until then, and its mailbox is told.
    """
    account.pending_email = email
    send_link(settings, account, None)
    if account.email is not None:
        log.record(EmailChangeAsked(account_id=account.id, mail_domain=_domain(email)))
        _warn(settings, account, account.email, Notice.EMAIL_CHANGE_ASKED)


def cancel_change(account: Account) -> bool:
    """Cancel the change of address, in the caller's transaction; return whether there was one.

    The links « Ce n’était pas moi » keep working: an intruder who asked for the change must not be able to revoke them.
    """
    if account.email is None or account.pending_email is None:
        return False
    account.pending_email = None
    one_time_links.revoke(account.id, Purpose.CHANGE_EMAIL)
    log.record(EmailChangeCancelled(account_id=account.id))
    return True


def find_link(value: str) -> Link:
    """Return the link that confirms a first or a new address and whose token is `value`."""
    first = one_time_links.look_up(Purpose.CONFIRM_EMAIL, value)
    return first if first.row else one_time_links.look_up(Purpose.CHANGE_EMAIL, value)


def confirm(settings: Settings, value: str) -> OneTimeLink | None:
    """Use the link `value` and confirm its address, in the caller's transaction; return None if it does not work.

    Return None and keep the link if the mailbox may serve one account only and already serves another.

    Links that were mailed to the former address to recover the password are revoked (security row G-06).
    """
    row = find_link(value).row
    # Lock the account's row before its links, in the same order as where links are issued, to avoid deadlocks.
    account = directory.get_for_change(row.account_id) if row else None
    if row is None or account is None or not _is_awaited(account, row):
        return None
    if mailboxes.is_refused(settings, account, row.email):
        return None
    link = one_time_links.redeem(Purpose(row.purpose), value)
    if link is None:
        return None
    former = account.email
    account.email, account.email_confirmed_at, account.pending_email = link.email, now(), None
    log.record(
        EmailConfirmed(account_id=account.id, client_id=link.client_id, mail_domain=_domain(link.email)),
    )
    mailboxes.note_sharing(account)
    if former is not None:
        one_time_links.revoke(account.id, Purpose.RESET_PASSWORD)
        _warn(settings, account, former, Notice.EMAIL_CHANGED)
    return link


def _is_awaited(account: Account, link: OneTimeLink) -> bool:
    changes = Purpose(link.purpose) is Purpose.CHANGE_EMAIL
    return (
        account.pending_email == link.email
        and changes == (account.email is not None)
        and not account.has_contested_email
    )


def _warn(settings: Settings, account: Account, mailbox: str, notice: Notice) -> None:
    link = one_time_links.issue(
        settings,
        Purpose.CONTEST_EMAIL,
        account,
        email=mailbox,
        lifetime=settings.lifetime("contest_link_lifetime"),
        keep_older=True,
    )
    notices.tell(notice, account.id, link=link)


def _domain(email: str) -> str:
    return email.rpartition("@")[2]


def typed_in(field: Any) -> str | None:
    """Return the address that a form's field has, or None after its fault was put beside the field."""
    try:
        return parse_email(field.data or "")
    except InvalidEmailError as fault:
        field.errors = [explain(fault)]
        return None


def explain(fault: InvalidEmailError) -> LazyString:
    """Return the sentence that tells a person what is wrong with the address that they typed."""
    match fault.reason:
        case EmailFault.EMPTY:
            return _("Tapez une adresse mail.")
        case EmailFault.INCOMPLETE:
            return _("Il manque une partie de l’adresse. Elle ressemble à : prenom.nom@exemple.fr")
        case EmailFault.NOT_ASCII:
            return _("Une adresse mail n’a pas d’accent avant le signe @. Vérifiez chaque lettre.")
        case EmailFault.TOO_LONG:
            return _("Cette adresse est trop longue : 254 caractères au plus.")
        case _:
            return _("Cette adresse n’est pas écrite comme une adresse mail. Vérifiez chaque lettre, sans espace.")
