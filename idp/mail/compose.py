"""Makes a mail out of its three templates: a subject, a text, the same in HTML; to exactly one recipient (RFC 5322)."""

import re
from collections.abc import Mapping
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

from flask import render_template

from idp.clock import now
from idp.config import Settings
from idp.mail.addresses import check_recipient
from idp.mail.wording import made_safe

_STABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def compose(
    message: str,
    *,
    recipient: str,
    context: Mapping[str, Any],
    message_id: str,
    settings: Settings,
    ent_url: str = "",
) -> EmailMessage:
    """Render `templates/mail/<message>/` inside an application context.

    Args:
        message: the mail's name, for example `confirmation`.
        recipient: one stored address.
        context: what the templates read: texts, numbers, dates. Texts lose what a mail program would make a link of,
            except those that begin with this service's own address, and `ent_url`.
        message_id: what stays the same when the mail is sent again: the outbox message's id.
        settings: the sender and the service's name.
        ent_url: the registered address of an ENT that the mail leads to, if it does.

    Raises:
        InvalidAddress: when `recipient` is not exactly one address.
        ValueError: when `message_id` could not stand in a header.
    """
    if not _STABLE.fullmatch(message_id):
        raise ValueError("a Message-ID is made from letters, digits, dots, hyphens and underscores")
    safe = made_safe(context, f"{settings.issuer}/", ent_url)
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address(display_name=_header_text(settings.service_name), addr_spec=settings.mail_from)
    mail["To"] = Address(addr_spec=check_recipient(recipient))
    mail["Subject"] = _header_text(render_template(f"mail/{message}/subject.txt", **safe))
    mail["Date"] = now()
    mail["Message-ID"] = f"<{message_id}@{settings.mail_from.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: no « je suis en vacances » comes back
    mail["X-Auto-Response-Suppress"] = "All"  # the same, in Exchange's words
    mail.set_content(render_template(f"mail/{message}/body.txt", **safe), cte="quoted-printable")
    mail.add_alternative(render_template(f"mail/{message}/body.html", **safe), subtype="html", cte="quoted-printable")
    mail["Content-Language"] = "fr"  # last: `add_alternative` moves what begins with Content- into the text part
    return mail


def _header_text(text: str) -> str:
    """Return `text` on one line, and without the start of an encoded word (RFC 2047).

    `email` decodes those in what it is given, and one that holds a line break then writes a second header: a first name
    `=?utf-8?q?=0D=0ABcc:_x?=` in a subject would add a recipient.
    """
    return " ".join(text.replace("=?", "= ?").split())
