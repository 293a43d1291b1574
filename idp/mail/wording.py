"""Removes links and line breaks from the texts of a mail.

Names come from school files. Mail programs turn any text that looks like a URL into a link, so that the given name
« Go to http://evil » would be a link in a mail that parents trust.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

from idp.mail.emails import InvalidEmailError, parse_email

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
