"""Mails that tell a person what happened to their account, enqueued in the transaction of the event.

No link in them signs in. Some carry a link that stops a change (« Ce n’était pas moi »), or tells the school that
somebody else activated the account (« Ce n’est pas moi »).
"""

import enum
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from flask_babel import force_locale

from idp.accounts import directory, one_time_links
from idp.accounts.models import Account, School
from idp.accounts.one_time_links import OneTimeLink, Purpose
from idp.audit import log
from idp.chained import NewRow
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.languages import locale_name, of_account
from idp.mail.compose import compose
from idp.mail.emails import fold_email
from idp.mail.smtp import deliver
from idp.outbox import queue
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome
from idp.throttle import guard, limits
from idp.web.request_context import device_of_code

NOTICE = "account.notice"
"""The kind of outbox message that carries a notice; its payload names the account and, for some, a link's row."""
RESET_REQUESTED = "recovery.password"
"""The kind that carries the request for a new password. Its payload names an account or none, in the same form."""


class Notice(enum.Enum):
    """The mail's subject; the value is its folder in `templates/mail/`."""

    PASSWORD_CHANGED = "mot_de_passe_change"  # noqa: S105 - a folder
    EMAIL_CHANGE_ASKED = "adresse_change"
    EMAIL_CHANGED = "adresse_changee"
    EMAIL_ABANDONED = "adresse_abandonnee"
    EMAIL_CHANGE_STOPPED = "changement_arrete"
    EMAIL_CONTESTED = "adresse_contestee"
    EMAIL_QUESTIONED = "adresse_signalee"
    EMAIL_KEPT = "adresse_gardee"
    EMAIL_DROPPED = "adresse_ecartee"
    NEW_DEVICE = "nouvel_appareil"
    MANY_TRIES = "essais_nombreux"
    LETTER_LINKED = "courrier_ajoute"
    LETTER_ELSEWHERE = "courrier_ailleurs"
    LETTER_UNLINKED = "courrier_retire"
    MERGED = "compte_reuni"
    LETTER_REISSUED = "courrier_refait"
    INACTIVE = "compte_inactif"
    REPLACED = "homonyme"
    CLOSED = "compte_suspendu"
    TIE_CLOSED = "acces_ferme"
    REOPENED = "compte_rouvert"
    ACTIVATED_ELSEWHERE = "activation_autre"
    DISPUTED = "compte_conteste"
    TIE_ENDED = "lien_fini"
    GUARDIAN_ADDED = "responsable_ajoute"
    TIE_RESTORED = "lien_retabli"
    PASSKEY_ADDED = "cle_ajoutee"
    PASSKEY_REMOVED = "cle_retiree"
    DEVICE_STAYS = "appareil_garde"
    DEVICE_COPIED = "appareil_copie"


# The purposes of the links that a mail carries, and the page under `/adresse/` that each opens.
_PAGES = {Purpose.CONTEST_EMAIL: "contestation", Purpose.REPORT_ACTIVATION: "signalement"}


# The mails that say who is told. Only the mail to an address that is kept names the schools that are told by mail.
_WITH_SCHOOLS = frozenset(
    {
        Notice.EMAIL_CHANGE_ASKED,
        Notice.EMAIL_CHANGED,
        Notice.EMAIL_CHANGE_STOPPED,
        Notice.EMAIL_CONTESTED,
        Notice.EMAIL_QUESTIONED,
        Notice.ACTIVATED_ELSEWHERE,
    }
)
# The mails that somebody who knows the password can cause without end: a rate limit protects the mailbox.
_REPEATED = frozenset({Notice.NEW_DEVICE, Notice.DEVICE_STAYS, Notice.PASSWORD_CHANGED, Notice.EMAIL_ABANDONED})
# The mails to an address that may be somebody else's: they do not name the ENTs.
_TO_STRANGERS = frozenset(
    {
        Notice.EMAIL_ABANDONED,
        Notice.EMAIL_CONTESTED,
        Notice.EMAIL_QUESTIONED,
        Notice.EMAIL_DROPPED,
        Notice.LETTER_ELSEWHERE,
        Notice.MERGED,
    }
)
# The mails about « Ce n’est pas mon enfant »: anybody may have said so, also before the account was activated.
_ABOUT_CALLS = frozenset({Notice.DISPUTED, Notice.TIE_ENDED, Notice.TIE_RESTORED})


def tell(notice: Notice, account_id: uuid.UUID, *, link: OneTimeLink | None = None, **details: str) -> None:
    """Enqueue a mail to the account's confirmed address, or to the address of `link`, in the caller's transaction.

    Args:
        notice: the kind of mail.
        account_id: the account that it is about.
        link: a link's row. Its address gets the mail, even if the account's address changes meanwhile. The mail carries
            the link if its purpose is in `_PAGES`.
        details: further values for the mail, such as the device's code or the id of a school; never a secret.
    """
    if link is not None:
        details["link"] = str(link.id)
    db.session.add(message_of(notice, account_id, **details).as_object())


def message_of(notice: Notice, account_id: uuid.UUID, **details: str) -> NewRow:
    """Return the message of a notice, for a statement that inserts it together with the change; see `tell`."""
    return queue.message_of(NOTICE, {"notice": notice.value, "account": str(account_id), **details})


def tell_at(settings: Settings, notice: Notice, account: Account, email: str, **details: str) -> None:
    """Enqueue a mail to `email`, which may not be the account's address, in the caller's transaction.

    The address is stored in the row of an expired link.
    """
    link = one_time_links.issue(
        settings, Purpose.CHANGE_EMAIL, account, email=email, lifetime=timedelta(), keep_older=True
    )
    tell(notice, account.id, link=link, **details)


def request_reset(account_id: uuid.UUID | None, *, known_device: bool = False) -> None:
    """Enqueue a request for a new password, in the caller's transaction.

    `account_id` is None if there is no such account. The payload holds the origin of the request, for the journal entry
    that the worker writes. `known_device` says whether the request came from a browser that verified the account's
    present password.
    """
    origin = log.current_origin()
    queue.enqueue(
        RESET_REQUESTED,
        {
            "account": str(account_id) if account_id else None,
            "ip": origin.ip,
            "request_id": origin.request_id,
            "known_device": known_device,
        },
    )


def hand_over(message: OutboxMessage, settings: Settings, ent_names: Callable[[Account], Sequence[str]]) -> Outcome:
    """Send a notice (outbox handler); drop it if there is no address to send it to.

    `ent_names` returns the names of the ENTs of an account: the person knows by them what account the mail is about.

    While the address is contested, the account's mailbox may belong to somebody else: only mails that name their
    address are sent. Who has not activated the account has no address of their own: the mails about a call, which have
    no secret and no identifier, go to the address of the school's file.
    """
    payload, notice = message.payload, Notice(message.payload["notice"])
    account = db.session.get(Account, uuid.UUID(payload["account"]), populate_existing=True)
    link = db.session.get(OneTimeLink, uuid.UUID(payload["link"])) if "link" in payload else None
    recipient = link.email if link else None
    if link is None and account is not None and not account.has_contested_email:
        recipient = account.email
        if recipient is None and notice in _ABOUT_CALLS and account.activated_at is None:
            recipient = directory.email_of_file(account)
    if account is None or recipient is None:
        return Outcome.DROPPED
    language = of_account(account.locale)
    if notice in _REPEATED and message.attempts <= 1 and not _has_slot(recipient):
        return Outcome.DROPPED
    mail = compose(
        payload["notice"],
        recipient=recipient,
        context=_context(message, account, link, settings)
        | {"account_ents": ", ".join(() if notice in _TO_STRANGERS else ent_names(account))},
        message_id=f"{message.id}",
        settings=settings,
        language=language,
    )
    deliver(mail, recipient)
    return Outcome.DONE


def _context(message: OutboxMessage, account: Account, link: OneTimeLink | None, settings: Settings) -> dict[str, Any]:
    payload = message.payload
    context: dict[str, Any] = {
        "person": account.short_name,
        "username": account.username,
        "at": datetime.fromisoformat(payload["since"]) if "since" in payload else message.created_at,
        "link": _link_url(settings, link),
        "days": settings.inactive_warning_days,
        "hours": settings.contest_link_lifetime // 3600,
        "passkeys": int(payload.get("passkeys", "0")),
        "removed_passkeys": int(payload.get("removed_passkeys", "0")),
        "by": payload.get("by", ""),
        "why": payload.get("why", ""),
        "blocked": account.has_blocked_password,
        "needs_letter": account.activated_at is None,
        "school": "",
        "phone": "",
    }
    if Notice(payload["notice"]) in _WITH_SCHOOLS:
        context["schools"] = directory.tellable(directory.schools_of_ties(account))
    if "device" in payload:
        with force_locale(locale_name(of_account(account.locale))):
            context["device"] = device_of_code(payload["device"]).label
    if "until" in payload:
        context |= _end_of_closing(account, payload["until"])
    if payload.get("school"):
        school = db.session.get(School, uuid.UUID(payload["school"]), populate_existing=True)
        context |= {"school": school.name, "phone": school.phone} if school else {}
    return context


def _end_of_closing(account: Account, until: str) -> dict[str, Any]:
    """Return the end of an account's closing, and whether one of its ties is closed at that moment.

    The mail promises no return then, and does not say why: it is not the first news about a tie.
    """
    end = datetime.fromisoformat(until) if until else None
    is_kept_out = any(tie.is_shut_at(end or now()) for tie in account.guardianships)
    return {"until": end, "is_kept_out": is_kept_out}


def _has_slot(mailbox: str) -> bool:
    return isinstance(guard.take(limits.NOTICE_MAILBOX, fold_email(mailbox)), guard.Granted)


def _link_url(settings: Settings, link: OneTimeLink | None) -> str:
    """Return the URL of the link, empty if the mail carries none or it no longer works."""
    page = _PAGES.get(Purpose(link.purpose)) if link else None
    if link is None or page is None:
        return ""
    value = one_time_links.token(settings, link)
    return f"{settings.issuer}/adresse/{page}/{value}" if value and one_time_links.is_alive(link) else ""
