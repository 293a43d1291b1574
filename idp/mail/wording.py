"""What a name may look like inside a mail: words, never a link and never a second line.

Names come from school files and, one day, from whoever fills them in. Mail programs make links out of any text that
looks like an address of the web, so « Go to http://evil » as a first name would be one, in a mail that parents trust.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

_MAX_LENGTH = 200
_LINK_START = re.compile(r"[^\W\d_][\w+.-]*:/+|\bwww\.", re.IGNORECASE)
_DOMAIN_DOT = re.compile(r"(?<=\w)\.(?=[^\W\d_]{2})")


def plain_words(value: str) -> str:
    """Return `value` on one line, without controls or marks that turn the text's direction, and with nothing to follow.

    Identifiers (`n.leroy4821`) and mail addresses keep their dots: only a dot among several words is set apart.
    """
    value = value[: 10 * _MAX_LENGTH]
    visible = "".join(" " if c.isspace() else c for c in value if c.isspace() or not _is_control(c))
    words = _LINK_START.sub(" ", " ".join(visible.split()))
    words = " ".join(words.split())
    if " " in words or " " in visible.strip():
        words = " ".join(word if "@" in word else _DOMAIN_DOT.sub(". ", word) for word in words.split(" "))
    return words if len(words) <= _MAX_LENGTH else words[: _MAX_LENGTH - 1] + "…"


def made_safe(value: Any, own_links: str, ent_url: str = "") -> Any:
    """Return `value` of a mail's context with every text in it made plain, except links of ours.

    Args:
        value: text, number, date, or sequences and mappings of these.
        own_links: what the links that stay begin with: this service's public address and a slash.
        ent_url: the one address of elsewhere that stays: a registered ENT's.

    Raises:
        TypeError: for anything else, whose texts could not be seen here.
    """
    if isinstance(value, str):
        known = value.startswith(own_links) or value == ent_url
        whole = value.isascii() and value.isprintable() and " " not in value
        return value if known and whole else plain_words(value)
    if value is None or isinstance(value, int | float | date | timedelta):
        return value
    if isinstance(value, Mapping):
        return {key: made_safe(item, own_links, ent_url) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [made_safe(item, own_links, ent_url) for item in value]
    raise TypeError(f"a mail's context holds plain values only, not {type(value).__name__}")


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn"}
