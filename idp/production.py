"""What a real installation must not be started with: one list, for `idp config check`, `idp serve` and `letters print`.

`idp.config` refuses settings that no command can work with. What stands here can be loaded, so that a database can be
set up and keys made before the legal notice is written; but nobody is served with it, and no letter leaves.
"""

import hashlib
import math
import re
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import pairwise
from urllib.parse import urlsplit

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError
from zxcvbn import zxcvbn

from idp.config import LOOPBACK, Settings

_PUBLISHED = frozenset(
    {
        "2abf3c86fbe96a9fc481009b7eef050862bdb97e111073f5c93c736cbe7ebc1c",
        "3e02cb1a5e4125c12f22746183874cb790dc7f4d5cddddd0df695e495aaa47d3",
        "7d11d6375b11aeefde662406eea3e4efe1fc90e39230b1ddf086bd4bdb6e280d",
        "9480e41c75baaf74d8ca1fed43838eec18cfba77186754df0a39d52da8485f06",
        "a92b090eed27fec259d2d3bcd944e9169b5f6ad88579a16b987553b31ec756d2",
        "e44ce386bfc5c9857124cf45dd1d5c841c3a65da1b197684e3eb39c7685f9ff9",
    }
)
"""SHA-256 of keys that stood in the source, and of the README's command, which systemd takes for the key itself."""
_SAFE_SSL_MODES = frozenset({"require", "verify-ca", "verify-full"})
_NAMED = {
    "publisher": "the legal notice must name who publishes the service",
    "publication_director": "the legal notice must name who answers for what is published",
    "host": "the legal notice must name who hosts the service",
    "contact_mail": "the legal notice must give an address",
    "dpo_mail": "the page on personal data must give the data protection officer's address",
    "accessibility_mail": "the accessibility statement must give an address",
}
_PLACEHOLDER = re.compile(r"(?i)\b(to-?do|tbd|fix-?me|change-?me|à compléter|a completer|lorem ipsum|x{3,})\b|<[^<>]*>")

_LEAST_GUESSES = 25
"""The power of ten that zxcvbn must give a key. Of 16 random bytes in hexadecimal digits it says 29 to 32."""
_MOST_READ = 72
_FREQUENT_PAIRS = frozenset(
    {
        *("es", "le", "de", "en", "re", "nt", "on", "er", "te", "et", "el", "an", "se", "ti", "la", "ai", "it", "me"),
        *("ou", "em", "ie", "ne", "is", "in", "qu", "th", "he", "nd", "at", "or", "ed", "ar", "st", "to", "ro", "co"),
        *("ma", "pa", "ss", "io"),
    }
)
"""The most frequent pairs of letters in French and English: a third of all pairs of a text, a sixteenth by chance."""
_BY_CHANCE = 1 / 16
_DEVIATIONS, _FEW = 4.5, 5
"""How far above chance their number must be, in standard deviations, to show a text: one random key in 5,000 is."""


def production_faults(settings: Settings) -> list[str]:
    """Return a sentence for each setting with which real families must not be served; none on a developer's machine."""
    if settings.development:
        return list(_development_faults(settings))
    return [
        *_secret_faults(settings),
        *_transport_faults(settings),
        *_placeholder_faults(settings),
    ]


def key_weakness(secret: str) -> str:
    """Return why `secret` is not a random key, empty when nothing speaks against it.

    Random bytes in hexadecimal or base64, and UUIDs, pass: they hold no spaces, words, sequences or repetitions.
    """
    if hashlib.sha256(secret.encode()).hexdigest() in _PUBLISHED:
        return "stands in the source of this service"
    if any(character.isspace() for character in secret) or _is_text(secret):
        return "is a text, not random"
    if zxcvbn(secret[:_MOST_READ], max_length=_MOST_READ)["guesses_log10"] < _LEAST_GUESSES:
        return "can be guessed"
    return ""


def _is_text(secret: str) -> bool:
    pairs = [first + second for first, second in pairwise(secret.lower()) if first.isalpha() and second.isalpha()]
    expected = len(pairs) * _BY_CHANCE
    return sum(pair in _FREQUENT_PAIRS for pair in pairs) > max(_FEW, expected + _DEVIATIONS * math.sqrt(expected))


def _development_faults(settings: Settings) -> Iterator[str]:
    if not _is_loopback(urlsplit(settings.issuer).hostname):
        yield "IDP_ENV: is development, but IDP_ISSUER is not on this machine"


def _secret_faults(settings: Settings) -> Iterator[str]:
    named = (
        ("IDP_SECRET_KEY", settings.secret_key),
        *(("IDP_SECRET_KEY_FALLBACKS", s) for s in settings.secret_key_fallbacks),
    )
    for name, secret in named:
        if weakness := key_weakness(secret.get_secret_value()):
            yield f"{name}: {weakness}; draw one: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"


def _transport_faults(settings: Settings) -> Iterator[str]:
    smtp = urlsplit(settings.smtp_url.get_secret_value())
    if smtp.scheme == "smtp" and not _is_loopback(smtp.hostname):
        yield "IDP_SMTP_URL: sends mails in clear to another host: use smtps:// or smtp+starttls://"
    domain = settings.mail_from.rpartition("@")[2].lower().rstrip(".")
    if "." not in domain or domain.endswith((".localhost", ".localdomain")):
        yield "IDP_MAIL_FROM: is an address of this machine: mails would be refused"
    if settings.database_url.startswith("postgresql") and not _database_is_safe(settings.database_url):
        yield "IDP_DATABASE_URL: is on another host without TLS: add ?sslmode=verify-full (verify-ca or require)"


def _placeholder_faults(settings: Settings) -> Iterator[str]:
    for name, why in _NAMED.items():
        if not getattr(settings, name).strip():
            yield f"IDP_{name.upper()}: is empty: {why}"
    if not settings.support_phone.strip() and not settings.support_url.strip():
        yield "IDP_SUPPORT_PHONE, IDP_SUPPORT_URL: are empty: letters and pages must say who helps families"
    if settings.academy.strip() in {"", Settings.model_fields["academy"].default}:
        yield "IDP_ACADEMY: is the default: pages and letters must name the academy"
    for name in (*_NAMED, "academy", "support_phone", "support_url", "support_hours", "service_name"):
        if _PLACEHOLDER.search(getattr(settings, name)):
            yield f"IDP_{name.upper()}: holds a placeholder"


def _database_is_safe(database_url: str) -> bool:
    """Say whether a connection to PostgreSQL stays on this machine, or is refused when it would not be encrypted."""
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        return True  # said elsewhere
    return all(_is_own(host) for host in _hosts(url)) or url.query.get("sslmode") in _SAFE_SSL_MODES


def _hosts(url: URL) -> Iterator[str]:
    """Yield the hosts that libpq may connect to, one of which may be named beside the others (`?host=`)."""
    named = url.query.get("host", ())
    for entry in (url.host or "", *((named,) if isinstance(named, str) else named)):
        yield from (host.partition(":")[0] if host.count(":") == 1 else host for host in entry.split(","))
    hostaddr = url.query.get("hostaddr", ())
    yield from (hostaddr,) if isinstance(hostaddr, str) else hostaddr


def _is_own(host: str) -> bool:
    return not host or host.startswith(("/", "@")) or _is_loopback(host)


def _is_loopback(host: str | None) -> bool:
    if host is None or host.lower() in LOOPBACK:
        return host is not None
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
