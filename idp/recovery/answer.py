"""What a request for a new password leads to: decided by the worker, once, and told to the account's mailbox alone.

The decision is one transaction: the link, the journal's row, and a mark on the message. A mail that has to be sent
again carries the same link, takes no second slot and leaves no second row (security rows S-06, S-07).
"""

import uuid
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import update

from idp.accounts import addresses, directory, disputes, mailboxes, tokens
from idp.accounts.models import Account, OneTimeLink
from idp.accounts.tokens import Purpose
from idp.audit import log
from idp.audit.events import ResetRequested
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.mail.addresses import fold_address
from idp.mail.compose import compose
from idp.mail.deliver import deliver
from idp.outbox.models import OutboxMessage
from idp.outbox.worker import Outcome, TemporaryFailure
from idp.recovery.entrance import entrance, school_names
from idp.recovery.password import may_reset
from idp.throttle import guard, limits

_LATEST = timedelta(hours=24)
"""Nobody waits for an answer any longer than this."""
_PAUSE = 60
"""Seconds that a mail may wait for another to the same mailbox: two parents who share one both get theirs."""


class Answer(StrEnum):
    """What becomes of a request, as the journal has it; only the first four send something."""

    LINK = "link"
    NEVER_ACTIVATED = "never_activated"
    UNCONFIRMED = "unconfirmed"
    BY_LETTER = "by_letter"
    UNKNOWN = "unknown"
    DISABLED = "disabled"
    MERGED = "merged"
    DISPUTED = "disputed"
    NO_ADDRESS = "no_address"
    CAPPED = "capped"
    LATE = "late"


def hand_over(message: OutboxMessage, settings: Settings) -> Outcome:
    """Answer a request for a new password (outbox handler)."""
    if "answer" not in message.payload:
        answer = _decide(message, settings)
    else:
        answer = Answer.LATE if _is_late(message) else Answer(message.payload["answer"])
    match answer:
        case Answer.LINK:
            return _send_link(message, settings)
        case Answer.NEVER_ACTIVATED:
            return _send_reminder(message, settings)
        case Answer.BY_LETTER:
            return _send_refusal(message, settings)
        case Answer.UNCONFIRMED:  # its own message carries the confirmation link
            return Outcome.DONE
        case _:
            return Outcome.DROPPED


def _decide(message: OutboxMessage, settings: Settings) -> Answer:
    key = uuid.UUID(message.payload["account"]) if message.payload["account"] else None
    account = db.session.get(Account, key, populate_existing=True) if key else None
    planned, address = _plan(settings, message, account)
    answer = Answer.LATE if _is_late(message) else planned
    if key and address and answer is planned and not _has_slot(answer, key, address):
        answer = Answer.CAPPED
    return _record(message, settings, answer, (planned, address))


@unit_of_work()
def _record(message: OutboxMessage, settings: Settings, answer: Answer, plan: tuple[Answer, str]) -> Answer:
    """Write the decision: the link, the journal's row and the mark on the message.

    Raises:
        TemporaryFailure: the account does not ask for `plan` any more, or another worker has the message.
    """
    key = uuid.UUID(message.payload["account"]) if message.payload["account"] else None
    account = directory.get_for_change(key) if key else None
    if _plan(settings, message, account) != plan or not _is_marked(message, answer):
        raise TemporaryFailure("the account changed meanwhile")
    if account and answer is Answer.LINK:
        tokens.issue(
            settings,
            Purpose.RESET_PASSWORD,
            account,
            address=plan[1],
            lifetime=settings.lifetime("reset_link_lifetime"),
            key=message.id,
        )
    elif account and answer is Answer.UNCONFIRMED:
        addresses.send_link(settings, account, None)
    with log.acting_for(_origin(message)):
        log.record(ResetRequested(account_id=key, answer=answer.value))
    return answer


def _origin(message: OutboxMessage) -> log.Origin:
    """Return where the request came from, which the worker's own place is not."""
    return log.Origin(address=message.payload.get("address", ""), request_id=message.payload.get("request_id", ""))


def _plan(settings: Settings, message: OutboxMessage, account: Account | None) -> tuple[Answer, str]:
    """Return what the account's state asks for, and the address that gets it, empty when nothing is sent."""
    if account is None:
        return Answer.UNKNOWN, ""
    closed = (
        (Answer.DISABLED, account.disabled_at is not None),
        (Answer.MERGED, account.merged_into_id is not None),
        (Answer.DISPUTED, disputes.is_closed(account)),
    )
    for answer, holds in closed:
        if holds:
            return answer, ""
    if account.activated_at is None:
        answer, address = Answer.NEVER_ACTIVATED, account.email or account.school_email
    elif account.email:
        known_device = bool(message.payload.get("known_device"))
        by_letter = mailboxes.reset_needs_letter(settings, account, known_device=known_device)
        answer, address = Answer.BY_LETTER if by_letter else Answer.LINK, account.email
    else:
        answer, address = Answer.UNCONFIRMED, account.pending_email
    return (answer, address) if address else (Answer.NO_ADDRESS, "")


def _has_slot(answer: Answer, account_id: uuid.UUID, address: str) -> bool:
    """Count a mail for the mailbox; False when it has had its share.

    A confirmation link is counted with those that its owner asks for: whoever asks here must not add to them.

    Raises:
        TemporaryFailure: another mail has just left for it; this one follows.
    """
    wanted: tuple[tuple[limits.Limit, str], ...] = ((limits.FORGOTTEN_PASSWORD_MAILBOX, fold_address(address)),)
    if answer is Answer.UNCONFIRMED:
        wanted = (
            (limits.RESEND_LINK_ACCOUNT, str(account_id)),
            (limits.RESEND_LINK_MAILBOX, fold_address(address)),
        )
    verdict = guard.take_all(*wanted)
    if isinstance(verdict, guard.Granted):
        return True
    if verdict.seconds <= _PAUSE:
        raise TemporaryFailure(
            "another mail for this mailbox has just left", retry_after=timedelta(seconds=verdict.seconds)
        )
    return False


def _is_marked(message: OutboxMessage, answer: Answer) -> bool:
    """Write the decision on the message, in the caller's transaction; False when another worker took it over."""
    return (
        db.session.scalar(
            update(OutboxMessage)
            .where(OutboxMessage.id == message.id, OutboxMessage.lease == message.lease)
            .values(payload={**message.payload, "answer": answer.value})
            .returning(OutboxMessage.id)
            .execution_options(synchronize_session=False)
        )
        is not None
    )


def _is_late(message: OutboxMessage) -> bool:
    return now() - message.created_at > _LATEST


def _send_link(message: OutboxMessage, settings: Settings) -> Outcome:
    """Mail the link of this message."""
    written = _link_mail(message, settings)
    if written is None:
        return Outcome.DROPPED
    recipient, context = written
    mail = compose("mot_de_passe", recipient=recipient, context=context, message_id=f"{message.id}", settings=settings)
    deliver(mail, recipient)
    return Outcome.DONE


@unit_of_work()
def _link_mail(message: OutboxMessage, settings: Settings) -> tuple[str, dict[str, object]] | None:
    """Return recipient and context of the mail, or None if the link is not wanted any more.

    A link that lost half of its lifetime in the outbox gets it anew.
    """
    account = _locked(message)
    link = db.session.get(OneTimeLink, message.id, populate_existing=True)
    value = tokens.token(settings, link) if link else None
    if account is None or link is None or value is None or not _is_wanted(account, link):
        return None
    lifetime = settings.lifetime("reset_link_lifetime")
    if link.expires_at - now() < lifetime / 2:
        link.expires_at = now() + lifetime
    context = {
        "person": account.short_name,
        "username": account.username,
        "link": f"{settings.issuer}/mot-de-passe/lien/{value}",
        "minutes": int((link.expires_at - now()).total_seconds() + 30) // 60,
        "blocked": account.password_blocked_at is not None,
        "breached": account.breached_at is not None,
    }
    return link.address, context


def _is_wanted(account: Account, link: OneTimeLink) -> bool:
    """Return if the link was neither used nor replaced, and still fits the account; its age does not matter here."""
    unspent = link.used_at is None and link.revoked_at is None and link.generation == account.generation
    return unspent and may_reset(account, link)


def _send_reminder(message: OutboxMessage, settings: Settings) -> Outcome:
    """Mail where the letter is. It goes to an address that nobody confirmed: nothing in it opens anything."""
    with unit_of_work():
        account = _locked(message)
        answer, recipient = _plan(settings, message, account)
        if account is None or answer is not Answer.NEVER_ACTIVATED:
            return Outcome.DROPPED
        link = entrance(settings, account)
        context = {"person": account.short_name, "link": link, "schools": school_names(account)}
    mail = compose(
        "jamais_active",
        recipient=recipient,
        context=context,
        message_id=f"{message.id}",
        settings=settings,
        ent_url=link,
    )
    deliver(mail, recipient)
    return Outcome.DONE


def _send_refusal(message: OutboxMessage, settings: Settings) -> Outcome:
    """Mail why there is no link, and what to do: other people read the mailbox, and the device is unknown."""
    with unit_of_work():
        account = _locked(message)
        answer, recipient = _plan(settings, message, account)
        if account is None or answer is not Answer.BY_LETTER:
            return Outcome.DROPPED
        context = {
            "person": account.short_name,
            "username": account.username,
            "schools": school_names(account),
            "blocked": account.password_blocked_at is not None,
            "link": "",
        }
    mail = compose(
        "mot_de_passe_courrier", recipient=recipient, context=context, message_id=f"{message.id}", settings=settings
    )
    deliver(mail, recipient)
    return Outcome.DONE


def _locked(message: OutboxMessage) -> Account | None:
    return directory.get_for_change(uuid.UUID(message.payload["account"]))
