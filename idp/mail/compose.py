"""Composes a mail to one recipient from three templates: subject, text and HTML (RFC 5322)."""

import re
from collections.abc import Collection, Mapping
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

from flask import render_template
from flask_babel import force_locale

from idp.clock import now
from idp.config import Settings
from idp.languages import SOURCE, locale_name
from idp.mail.emails import check_recipient
from idp.mail.wording import without_links
from idp.web.i18n import isolated

_PARTS = ("subject.txt", "body.txt", "body.html")
_STABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def compose(
    message: str,
    *,
    recipient: str,
    context: Mapping[str, Any],
    message_id: str,
    settings: Settings,
    other_urls: Collection[str] = (),
    language: str = SOURCE,
) -> EmailMessage:
    """Return the mail of `templates/mail/<message>/`; needs an application context.

    Args:
        message: the mail's name, for example `confirmation`.
        recipient: one stored email.
        context: texts, numbers and dates for the templates. Texts that a mail program would turn into links are
            changed, except links to this service, and `other_urls`.
        message_id: the id of the outbox message, so that a mail that is sent again has the same Message-ID.
        settings: the sender and the service's name.
        other_urls: the URLs elsewhere that the mail links to or shows: registered URLs of ENTs, or the desk.
        language: the language of its reader, as `idp.languages` names it.

    Raises:
        InvalidEmailError: `recipient` is not exactly one email.
        ValueError: `message_id` is not valid in a header.
    """
    if not _STABLE.fullmatch(message_id):
        raise ValueError("a Message-ID may have letters, digits, dots, hyphens and underscores only")
    safe = without_links(context, f"{settings.issuer}/", other_urls)
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address(display_name=_header_text(settings.service_name), addr_spec=settings.mail_from)
    mail["To"] = Address(addr_spec=check_recipient(recipient))
    with force_locale(locale_name(language)):
        if "person" in safe:
            safe["person"] = isolated(safe["person"])
        subject, text, html = (render_template(f"mail/{message}/{part}", **safe) for part in _PARTS)
    mail["Subject"] = _header_text(subject)
    mail["Date"] = now()
    mail["Message-ID"] = f"<{message_id}@{settings.mail_from.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834, 5: no automatic replies
    mail["X-Auto-Response-Suppress"] = "All"  # the same for Exchange
    mail.set_content(text, cte="quoted-printable")
    mail.add_alternative(html, subtype="html", cte="quoted-printable")
    mail["Content-Language"] = language  # last, since `add_alternative` moves Content- headers into the text part
    return mail


def _header_text(text: str) -> str:
    """Return `text` on one line, without the start of an encoded word (RFC 2047).

    The `email` package decodes encoded words in header values. One with a line break adds a header: a given name
    `=?utf-8?q?=0D=0ABcc:_x?=` in a subject would add a recipient.
    """
    return " ".join(text.replace("=?", "= ?").split())
