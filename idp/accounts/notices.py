"""Mails that tell a person what happened to their account: asked for in the transaction that it happened in.

They carry no link that opens anything. The only link that some have, « Ce n’était pas moi », stops a change.
"""

import enum
import uuid
from typing import Any

from flask_babel import force_locale

from idp.accounts import directory, tokens
from idp.accounts.models import Account, OneTimeLink
from idp.accounts.tokens import Purpose
from idp.audit import log
from idp.clock import now
from idp.config import Settings
from idp.db import db, end_read
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
    NEW_DEVICE = "nouvel_appareil"
    MANY_TRIES = "essais_nombreux"
    LETTER_LINKED = "courrier_ajoute"
    LETTER_REISSUED = "courrier_refait"
    INACTIVE = "compte_inactif"


_REPEATED = frozenset({Notice.NEW_DEVICE, Notice.PASSWORD_CHANGED, Notice.EMAIL_ABANDONED})
"""What somebody who knows the password can cause without end: a mailbox that two parents share must not fill."""


def tell(notice: Notice, account_id: uuid.UUID, *, link: OneTimeLink | None = None, **details: str) -> None:
    """Ask for a mail to the account's confirmed address, or to the address of `link`, in the caller's transaction.

    Args:
        notice: what is told.
        account_id: whose account it is about.
        link: a link's row: its address gets the mail, whatever the account's has become meanwhile; for a
            `CONTEST_EMAIL` link the mail carries it.
        details: more that the mail tells, such as the device's code; never a secret.
    """
    payload: dict[str, Any] = {"notice": notice.value, "account": str(account_id), **details}
    if link is not None:
        payload["link"] = str(link.id)
    queue.enqueue(NOTICE, payload)


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
    """Send a notice (outbox handler); dropped when there is no address to send it to."""
    payload, notice = message.payload, Notice(message.payload["notice"])
    account = db.session.get(Account, uuid.UUID(payload["account"]), populate_existing=True)
    link = db.session.get(OneTimeLink, uuid.UUID(payload["link"])) if "link" in payload else None
    recipient = link.address if link else account.email if account else None
    if account is None or recipient is None:
        end_read()
        return Outcome.DROPPED
    context: dict[str, Any] = {
        "person": account.short_name,
        "username": account.username,
        "at": message.created_at,
        "link": _contest_url(settings, link),
        "days": settings.inactive_warning_days,
        "hours": settings.contest_link_lifetime // 3600,
        "closed": account.recovery_frozen_until is not None and account.recovery_frozen_until > now(),
        "withdrawn": link is not None and link.purpose == Purpose.CHANGE_EMAIL.value,
    }
    if notice is Notice.EMAIL_ABANDONED:  # perhaps a stranger's mailbox: neither a full name nor an identifier
        context["schools"] = ", ".join(school.name for school in directory.schools(account))
    if "device" in payload:
        with force_locale("fr"):
            context["device"] = from_code(payload["device"]).label
    end_read()
    if notice in _REPEATED and message.attempts <= 1 and not _has_slot(recipient):
        return Outcome.DROPPED
    mail = compose(
        payload["notice"], recipient=recipient, context=context, message_id=f"{message.id}", settings=settings
    )
    deliver(mail, recipient)
    return Outcome.DONE


def _has_slot(mailbox: str) -> bool:
    return isinstance(guard.take(limits.NOTICE_MAILBOX, fold_address(mailbox)), guard.Granted)


def _contest_url(settings: Settings, link: OneTimeLink | None) -> str:
    """Return the address of « Ce n’était pas moi », empty when the link is for something else or no longer works."""
    if link is None or link.purpose != Purpose.CONTEST_EMAIL.value:
        return ""
    value = tokens.token(settings, link)
    return f"{settings.issuer}/adresse/contestation/{value}" if value and tokens.is_alive(link) else ""
