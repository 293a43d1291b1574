"""Mails that tell a person what happened to their account: asked for in the transaction that it happened in.

They carry no link that opens anything. The only links that some have stop a change (« Ce n’était pas moi »), or tell
the school that somebody else activated the account (« Ce n’est pas moi »).
"""

import enum
import uuid
from datetime import timedelta
from typing import Any

from flask_babel import force_locale

from idp.accounts import directory, tokens
from idp.accounts.models import Account, OneTimeLink, School
from idp.accounts.tokens import Purpose
from idp.audit import log
from idp.config import Settings
from idp.db import db
from idp.mail.addresses import fold_address
from idp.mail.compose import compose
from idp.mail.deliver import deliver
from idp.outbox import queue
from idp.outbox.models import OutboxMessage
from idp.outbox.worker import Outcome
from idp.throttle import guard, limits
from idp.web.user_agent import from_code

NOTICE = "account.notice"
"""The kind of outbox message that carries a notice; its payload names the account and, for some, a link's row."""
RESET_WANTED = "recovery.password"
"""The kind that carries the request for a new password. The payload names an account, or none: nobody sees which."""


class Notice(enum.Enum):
    """What a mail tells; the value is its folder in `templates/mail/`."""

    PASSWORD_CHANGED = "mot_de_passe_change"  # noqa: S105 - a folder
    EMAIL_CHANGE_ASKED = "adresse_change"
    EMAIL_CHANGED = "adresse_changee"
    EMAIL_ABANDONED = "adresse_abandonnee"
    EMAIL_CHANGE_STOPPED = "changement_arrete"
    EMAIL_CONTESTED = "adresse_contestee"
    EMAIL_KEPT = "adresse_gardee"
    EMAIL_DROPPED = "adresse_ecartee"
    NEW_DEVICE = "nouvel_appareil"
    MANY_TRIES = "essais_nombreux"
    LETTER_LINKED = "courrier_ajoute"
    LETTER_REISSUED = "courrier_refait"
    INACTIVE = "compte_inactif"
    REPLACED = "homonyme"
    ACTIVATED_ELSEWHERE = "activation_autre"


_PAGES = {Purpose.CONTEST_EMAIL: "contestation", Purpose.REPORT_ACTIVATION: "signalement"}
"""The links that a mail carries, and the page under `/adresse/` that each opens."""


_WITH_SCHOOLS = frozenset(
    {
        Notice.EMAIL_CHANGE_ASKED,
        Notice.EMAIL_CHANGED,
        Notice.EMAIL_CHANGE_STOPPED,
        Notice.EMAIL_CONTESTED,
        Notice.ACTIVATED_ELSEWHERE,
    }
)
"""What says who hears of it. Only the mail to an address that is kept names the schools that hear by mail."""
_REPEATED = frozenset({Notice.NEW_DEVICE, Notice.PASSWORD_CHANGED, Notice.EMAIL_ABANDONED})
"""What somebody who knows the password can cause without end: a mailbox that two parents share must not fill."""


def tell(notice: Notice, account_id: uuid.UUID, *, link: OneTimeLink | None = None, **details: str) -> None:
    """Ask for a mail to the account's confirmed address, or to the address of `link`, in the caller's transaction.

    Args:
        notice: what is told.
        account_id: whose account it is about.
        link: a link's row: its address gets the mail, whatever the account's has become meanwhile; the mail carries
            it if it is of one of `_PAGES`.
        details: more that the mail tells, such as the device's code or the id of a school; never a secret.
    """
    payload: dict[str, Any] = {"notice": notice.value, "account": str(account_id), **details}
    if link is not None:
        payload["link"] = str(link.id)
    queue.enqueue(NOTICE, payload)


def tell_at(settings: Settings, notice: Notice, account: Account, email: str) -> None:
    """Ask for a mail to `email`, which is not, or may soon not be, the account's address, in the caller's transaction.

    The row of a link that opens nothing keeps the address for the mail.
    """
    link = tokens.issue(settings, Purpose.CHANGE_EMAIL, account, address=email, lifetime=timedelta(), keep_older=True)
    tell(notice, account.id, link=link)


def want_reset(account_id: uuid.UUID | None, *, known_device: bool = False) -> None:
    """Ask for a mail that leads to a new password, in the caller's transaction; None for an account that is none.

    Where it was asked from goes along, for the journal: the answer is found later, by the worker. `known_device` says
    whether that was a browser which proved the account's present password.
    """
    origin = log.current_origin()
    queue.enqueue(
        RESET_WANTED,
        {
            "account": str(account_id) if account_id else None,
            "address": origin.address,
            "request_id": origin.request_id,
            "known_device": known_device,
        },
    )


def hand_over(message: OutboxMessage, settings: Settings) -> Outcome:
    """Send a notice (outbox handler); dropped when there is no address to send it to.

    While the address is contested, the account's mailbox is not known to be its owner's: only what was asked for one
    address by its name is sent.
    """
    payload, notice = message.payload, Notice(message.payload["notice"])
    account = db.session.get(Account, uuid.UUID(payload["account"]), populate_existing=True)
    link = db.session.get(OneTimeLink, uuid.UUID(payload["link"])) if "link" in payload else None
    recipient = link.address if link else None
    if link is None and account is not None and account.contested_at is None:
        recipient = account.email
    if account is None or recipient is None:
        return Outcome.DROPPED
    context: dict[str, Any] = {
        "person": account.short_name,
        "username": account.username,
        "at": message.created_at,
        "link": _link_url(settings, link),
        "days": settings.inactive_warning_days,
        "hours": settings.contest_link_lifetime // 3600,
    }
    if notice in _WITH_SCHOOLS:
        context["schools"] = directory.tellable(directory.schools_of_ties(account))
    if "device" in payload:
        with force_locale("fr"):
            context["device"] = from_code(payload["device"]).label
    if "why" in payload:
        context["why"] = payload["why"]
    if payload.get("school"):
        school = db.session.get(School, uuid.UUID(payload["school"]), populate_existing=True)
        context |= {"school": school.name, "phone": school.phone} if school else {}
    if notice in _REPEATED and message.attempts <= 1 and not _has_slot(recipient):
        return Outcome.DROPPED
    mail = compose(
        payload["notice"], recipient=recipient, context=context, message_id=f"{message.id}", settings=settings
    )
    deliver(mail, recipient)
    return Outcome.DONE


def _has_slot(mailbox: str) -> bool:
    return isinstance(guard.take(limits.NOTICE_MAILBOX, fold_address(mailbox)), guard.Granted)


def _link_url(settings: Settings, link: OneTimeLink | None) -> str:
    """Return the address of the link, empty when the mail carries none or it no longer works."""
    page = _PAGES.get(Purpose(link.purpose)) if link else None
    if link is None or page is None:
        return ""
    value = tokens.token(settings, link)
    return f"{settings.issuer}/adresse/{page}/{value}" if value and tokens.is_alive(link) else ""
