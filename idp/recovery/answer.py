"""Answers a request for a new password: the worker decides once, and the answer goes to the account's mailbox only.

The decision is one transaction: the link, the journal's row, and a mark on the message. A mail that has to be sent
again carries the same link, takes no second slot and writes no second row (security rows S-06, S-07).
"""

import uuid
from collections.abc import Collection, Mapping
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import update

from idp.accounts import account_state, directory, emails, mailboxes, notices, one_time_links
from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account
from idp.accounts.notices import Notice
from idp.accounts.one_time_links import OneTimeLink, Purpose
from idp.audit import log
from idp.audit.credential_events import ResetRequested
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.languages import of_account
from idp.mail.compose import compose
from idp.mail.smtp import deliver
from idp.metrics.catalogue import RECOVERY
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome, TemporaryDeliveryError
from idp.recovery.service import ent_name, entrance, may_reset, school_names
from idp.throttle import guard, limits

_LATEST = timedelta(hours=24)


class Answer(StrEnum):
    """The decision about a request, as the journal stores it; only the first five send a mail."""

    LINK = "link"
    NEVER_ACTIVATED = "never_activated"
    UNCONFIRMED = "unconfirmed"
    BY_LETTER = "by_letter"
    CLOSED = "closed"
    UNKNOWN = "unknown"
    DISABLED = "disabled"
    DISPUTED = "disputed"
    NO_ADDRESS = "no_address"
    CAPPED = "capped"
    LATE = "late"


RECOVERY.allow(Answer)
_WITHOUT_LINK = {Answer.NEVER_ACTIVATED: "jamais_active", Answer.BY_LETTER: "mot_de_passe_courrier"}


def hand_over(message: OutboxMessage, settings: Settings) -> Outcome:
    """Answer a request for a new password (outbox handler)."""
    if "answer" not in message.payload:
        answer = _decide(message, settings)
    else:
        answer = Answer.LATE if _is_late(message) else Answer(message.payload["answer"])
    match answer:
        case Answer.LINK:
            return _send_link(message, settings)
        case Answer.NEVER_ACTIVATED | Answer.BY_LETTER:
            return _send_without_link(message, settings, answer)
        case Answer.UNCONFIRMED | Answer.CLOSED:  # the mail has an outbox message of its own
            return Outcome.DONE
        case _:
            return Outcome.DROPPED


def _decide(message: OutboxMessage, settings: Settings) -> Answer:
    key = uuid.UUID(message.payload["account"]) if message.payload["account"] else None
    account = db.session.get(Account, key, populate_existing=True) if key else None
    late = _is_late(message)
    refusal = _refusal(message, account.username) if account and not late else None
    plan = _plan(settings, message, account, has_slot=refusal is None)
    if refusal and plan[0] is Answer.CAPPED and not guard.is_first_refusal(refusal):
        return Answer.CAPPED
    return _record(message, settings, Answer.LATE if late else plan[0], plan, has_slot=refusal is None)


def _refusal(message: OutboxMessage, username: str) -> guard.Wait | None:
    """Count an answer for the account; return the refusal of the rate limit, if it is reached."""
    verdict = guard.take(_limit(message), username)
    return verdict if isinstance(verdict, guard.Wait) else None


@unit_of_work()
def _record(
    message: OutboxMessage, settings: Settings, answer: Answer, plan: tuple[Answer, str], *, has_slot: bool
) -> Answer:
    """Write the decision: the link, the journal's row and the mark on the message.

    The link works at least until the next mail may be sent, and ends no older one: a stranger may have asked for it.

    Raises:
        TemporaryDeliveryError: the account does not ask for `plan` any more, or another worker has the message.
    """
    key = uuid.UUID(message.payload["account"]) if message.payload["account"] else None
    account = directory.get_for_change(key) if key else None
    if _plan(settings, message, account, has_slot=has_slot) != plan or not _is_marked(message, answer):
        raise TemporaryDeliveryError("the account changed meanwhile")
    if account and answer is Answer.LINK:
        pause = timedelta(seconds=guard.remaining_wait(_limit(message), account.username))
        one_time_links.issue(
            settings,
            Purpose.RESET_PASSWORD,
            account,
            email=plan[1],
            lifetime=max(settings.lifetime("reset_link_lifetime"), pause),
            key=message.id,
            keep_older=True,
        )
    elif account and plan[1] and answer is Answer.UNCONFIRMED:
        emails.send_link(settings, account, None)
    elif account and plan[1] and answer is Answer.CLOSED:
        notices.tell(Notice.CLOSED, account.id, link=None, **account_state.of_account(account).details())
    with log.acting_for(_origin(message)):
        log.record(ResetRequested(account_id=key, answer=answer.value))
    return answer


def _origin(message: OutboxMessage) -> log.Origin:
    return log.Origin(ip=message.payload.get("ip", ""), request_id=message.payload.get("request_id", ""))


def _plan(settings: Settings, message: OutboxMessage, account: Account | None, *, has_slot: bool) -> tuple[Answer, str]:
    """Return the answer for the account's state, and the address that gets it, empty if nothing is sent.

    Without a slot of the rate limit, a link is sent only if the mailbox has none that works.
    """
    answer, email = _answer_to(settings, message, account)
    if has_slot or (answer is Answer.LINK and account and not _has_link(account)):
        return answer, email
    return Answer.CAPPED, ""


def _has_link(account: Account) -> bool:
    link = one_time_links.find_alive(Purpose.RESET_PASSWORD, account.id)
    return link is not None and may_reset(account, link)


def _answer_to(settings: Settings, message: OutboxMessage, account: Account | None) -> tuple[Answer, str]:
    if account is None:
        return Answer.UNKNOWN, ""
    if account.disabled_at is not None:
        return Answer.DISABLED, ""
    if account.disputes:
        return Answer.DISPUTED, ""
    if account.is_shut_at(now()):
        return Answer.CLOSED, account.email or ""
    if account.activated_at is None:
        answer, email = Answer.NEVER_ACTIVATED, account.email or account.school_email
    elif account.email:
        by_letter = mailboxes.reset_needs_letter(settings, account, known_device=_is_known_device(message))
        answer, email = Answer.BY_LETTER if by_letter else Answer.LINK, account.email
    elif one_time_links.find_alive(Purpose.CONFIRM_EMAIL, account.id):
        return Answer.UNCONFIRMED, ""  # another link would end the code that the person types
    else:
        answer, email = Answer.UNCONFIRMED, account.pending_email
    return (answer, email) if email else (Answer.NO_ADDRESS, "")


def _limit(message: OutboxMessage) -> limits.Limit:
    return limits.FORGOTTEN_PASSWORD_DEVICE if _is_known_device(message) else limits.FORGOTTEN_PASSWORD_ACCOUNT


def _is_known_device(message: OutboxMessage) -> bool:
    return bool(message.payload.get("known_device"))


def _is_marked(message: OutboxMessage, answer: Answer) -> bool:
    """Write the decision on the message, in the caller's transaction; return False if another worker took it."""
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
    written = _link_mail(message, settings)
    if written is None:
        return Outcome.DROPPED
    return _send(message, settings, "mot_de_passe", *written)


@unit_of_work()
def _link_mail(message: OutboxMessage, settings: Settings) -> tuple[str, str, dict[str, object]] | None:
    """Return recipient, language and context of the mail, or None if the link is not wanted any more.

    The link gets a new lifetime if half of it was over while the message waited in the outbox.
    """
    account = _locked(message)
    link = db.session.get(OneTimeLink, message.id, populate_existing=True)
    value = one_time_links.token(settings, link) if link else None
    if account is None or link is None or value is None or not _is_wanted(account, link):
        return None
    lifetime = settings.lifetime("reset_link_lifetime")
    if one_time_links.is_mostly_over(link, lifetime):
        link.expires_at = now() + lifetime
    context = {
        "person": account.short_name,
        "username": account.username,
        "ent": ent_name(account),
        "link": f"{settings.issuer}/mot-de-passe/lien/{value}",
        "minutes": int((link.expires_at - now()).total_seconds() + 30) // 60,
        "blocked": account.has_blocked_password,
        "breached": account.password_state is PasswordState.BREACHED,
    }
    return link.email, of_account(account.locale), context


def _is_wanted(account: Account, link: OneTimeLink) -> bool:
    """Return whether the link was neither used nor replaced, and still matches the account; its age does not count."""
    return one_time_links.is_unused(link) and one_time_links.is_current(link, account) and may_reset(account, link)


def _send_without_link(message: OutboxMessage, settings: Settings, answer: Answer) -> Outcome:
    """Tell why there is no link, and what to do.

    `NEVER_ACTIVATED`: where the letter is. The address is not confirmed, so the mail has nothing that gives access.
    `BY_LETTER`: other people read the mailbox, and the device is unknown.
    """
    with unit_of_work():
        account = _locked(message)
        planned, recipient = _answer_to(settings, message, account)
        if account is None or answer is not planned:
            return Outcome.DROPPED
        context: dict[str, object] = {"person": account.short_name, "link": "", "schools": school_names(account)}
        if answer is Answer.NEVER_ACTIVATED:
            context["link"] = entrance(settings, account)
        else:
            context |= {"username": account.username, "blocked": account.has_blocked_password}
        language = of_account(account.locale)
    urls = [str(context["link"])] if context["link"] else []
    return _send(message, settings, _WITHOUT_LINK[answer], recipient, language, context, urls)


def _send(
    message: OutboxMessage,
    settings: Settings,
    mail: str,
    recipient: str,
    language: str,
    context: Mapping[str, object],
    other_urls: Collection[str] = (),
) -> Outcome:
    composed = compose(
        mail,
        recipient=recipient,
        context=context,
        message_id=f"{message.id}",
        settings=settings,
        other_urls=other_urls,
        language=language,
    )
    deliver(composed, recipient)
    return Outcome.DONE


def _locked(message: OutboxMessage) -> Account | None:
    return directory.get_for_change(uuid.UUID(message.payload["account"]))
