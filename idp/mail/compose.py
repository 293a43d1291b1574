"""Composes a mail to one recipient from three templates: subject, text and HTML (RFC 5322).

Names come from school files. Mail programs turn any text that looks like a URL into a link, so that the given name
« Go to http://evil » would be a link in a mail that parents trust.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

from flask import render_template
from flask_babel import force_locale

from idp.clock import now
from idp.config import Settings
from idp.languages import SOURCE, locale_name
from idp.mail.emails import InvalidEmailError, check_recipient, parse_email
from idp.web.i18n import isolated

_MAX_LENGTH = 200
_LINK_START = re.compile(r"[^\W\d_][\w+.-]*:/+|\bwww\.", re.IGNORECASE)
_PATH = re.compile(r"(\.[^\s/]*)/+")
_MAILBOX = re.compile(r"[\w.+'-]+@[\w.-]+")
_DOMAIN_DOT = re.compile(r"(?<=\w)\.(?=[^\W\d_]{2})")


def plain_words(value: str) -> str:
    """Return `value` on one line, without control characters, direction marks and links.

    Identifiers (`n.leroy4821`) and emails keep their dots; among several words, a dot gets a space. A slash after a dot
    gets blanks.
    """
    value = value[: 10 * _MAX_LENGTH]
    visible = "".join(" " if c.isspace() else c for c in value if c.isspace() or not _is_control(c))
    words = _LINK_START.sub(" ", " ".join(visible.split()))
    words = " ".join(_PATH.sub(r"\1 / ", words).split())
    if " " in words or " " in visible.strip():
        words = " ".join(word if _is_email(word) else _DOMAIN_DOT.sub(". ", word) for word in words.split(" "))
    return words if len(words) <= _MAX_LENGTH else words[: _MAX_LENGTH - 1] + "…"


def without_links(value: Any, own_links: str, other_urls: Collection[str] = ()) -> Any:
    """Return a value of a mail's context with `plain_words` applied to all texts but known links.

    Args:
        value: a text, number or date, or a sequence or mapping of these.
        own_links: the prefix of links that stay: the issuer and a slash.
        other_urls: the URLs elsewhere that stay, if a text is one of them and nothing else.

    Raises:
        TypeError: `value` has another type, whose texts cannot be checked.
    """
    if isinstance(value, str):
        known = value.startswith(own_links) or value in other_urls
        whole = value.isascii() and value.isprintable() and " " not in value
        return value if known and whole else plain_words(value)
    if value is None or isinstance(value, int | float | date | timedelta):
        return value
    if isinstance(value, Mapping):
        return {key: without_links(item, own_links, other_urls) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [without_links(item, own_links, other_urls) for item in value]
    raise TypeError(f"a mail's context may have plain values only, not {type(value).__name__}")


def _is_email(word: str) -> bool:
    """Return whether a word is an email that mail programs read whole: `evil.fr/@a` and `evil.fr#@a.fr` are none."""
    with suppress(InvalidEmailError):
        return _MAILBOX.fullmatch(word) is not None and parse_email(word) != ""
    return False


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn"}


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
