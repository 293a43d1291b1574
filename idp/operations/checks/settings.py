"""Checks that the settings may serve real families: `idp doctor`, `idp config check`, `idp serve`, printed letters.

`idp.config` refuses settings that no command can use. The settings here can be loaded, so that an operator can create
the database and keys before the legal notice is written; but pages are not served and letters are not printed.
"""

import base64
import hashlib
import math
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from itertools import pairwise
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr
from sqlalchemy import make_url

from idp.config import LOOPBACK, Settings
from idp.mail.emails import InvalidEmailError, parse_email
from idp.operations.checks.finding import Finding, Site

# SHA-256 of keys that were published in the source, and of the command in the guide, which systemd does not run.
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
_SAFE_SSL_MODES = frozenset({"require", "verify-ca", "verify-full"})
_REQUIRED = {
    "legal_publisher": "the legal notice must name the publisher",
    "publication_director": "the legal notice must name the publication director",
    "legal_host": "the legal notice must name the host",
    "contact_mail": "the legal notice must give an email",
    "dpo_mail": "the page on personal data must give the email of the data protection officer",
    "accessibility_mail": "the accessibility statement must give an email",
}
_MAILS = ("contact_mail", "dpo_mail", "accessibility_mail", "mail_from")
_SHOWN_TEXTS = (*_REQUIRED, "academy", "support_phone", "support_url", "support_hours", "service_name")
_SAMPLE = "…"  # what deploy/environment.sample has in place of a value
# Settings in which another check refuses it: an email and a random key have no `…`.
_JUDGED_APART = frozenset({*_MAILS, "secret_key", "secret_key_fallbacks"})
_PLACEHOLDER = re.compile(r"(?i)\b(to-?do|tbd|fix-?me|change-?me|à compléter|a completer|lorem ipsum|x{3,})\b|<[^<>]*>")

_MIN_GUESSES_LOG10 = 25  # the least `guesses_log10` of zxcvbn for a key; 16 random bytes in hexadecimal have 29 to 32
_MAX_SCORED = 72
# The most frequent pairs of letters in French and English: a third of the pairs of a text, a sixteenth by chance.
_FREQUENT_PAIRS = frozenset(
    {
        *("es", "le", "de", "en", "re", "nt", "on", "er", "te", "et", "el", "an", "se", "ti", "la", "ai", "it", "me"),
        *("ou", "em", "ie", "ne", "is", "in", "qu", "th", "he", "nd", "at", "or", "ed", "ar", "st", "to", "ro", "co"),
        *("ma", "pa", "ss", "io"),
    }
)
_RANDOM_SHARE = 1 / 16
_DEVIATIONS, _MIN_PAIRS = 4.5, 5
"""A key is a text if the number of these pairs exceeds that of a random key by so many standard deviations: one random
key in 5,000 does."""


def check(site: Site) -> Iterator[Finding]:
    """Check that the settings may serve real families."""
    faults = production_faults(site.settings)
    for fault in faults:
        yield Finding("settings", fault, "fault", "change the setting; idp config check names all faults")
    if not faults:
        yield Finding("settings", "complete")


def production_faults(settings: Settings) -> list[str]:
    """Return a message for each setting that must not be used in production."""
    if settings.development:
        return list(_development_faults(settings))
    return [
        *_secret_faults(settings),
        *_transport_faults(settings),
        *_placeholder_faults(settings),
        *_mail_faults(settings),
        *_list_faults(settings),
    ]


def key_weakness(secret: str) -> str:
    """Return why `secret` is not a random key, or an empty string.

    Random bytes in hexadecimal or base64, and UUIDs, are accepted: they have no spaces, words, sequences, repetitions.
    """
    if not secret:  # zxcvbn does not accept an empty text
        return "is empty"
    if hashlib.sha256(secret.encode()).hexdigest() in _PUBLISHED:
        return "was published in the source of this service"
    if any(character.isspace() for character in secret) or _is_text(secret):
        return "is a text, not random"
    if any(map(_is_printable, _decoded(secret))):
        return "is an encoded text, not random"
    return "can be guessed" if _in_child(partial(_can_be_guessed, secret)) else ""


def _can_be_guessed(secret: str) -> bool:
    from zxcvbn import zxcvbn  # noqa: PLC0415 - most processes check no key

    guesses: float = zxcvbn(secret[:_MAX_SCORED], max_length=_MAX_SCORED)["guesses_log10"]
    return guesses < _MIN_GUESSES_LOG10


def _in_child(holds: Callable[[], bool]) -> bool:
    """Return the answer of `holds`, asked in a child process if this process may be forked.

    The word lists of zxcvbn take 12 MiB, which the parent of `idp serve` would keep as long as it runs.
    """
    if "zxcvbn" in sys.modules or threading.active_count() > 1 or not hasattr(os, "fork"):
        return holds()
    try:
        child = os.fork()
        if child == 0:  # no exception may leave this branch
            status = 2
            try:
                status = int(holds())
            finally:
                os._exit(status)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except OSError:  # no process can be made, or SIGCHLD is ignored so that the kernel keeps no exit status
        return holds()
    return bool(code) if code in {0, 1} else holds()


def _decoded(secret: str) -> Iterator[bytes]:
    """Yield the key decoded from hexadecimal and from base64, in both alphabets, with padding or without."""
    with suppress(ValueError):
        yield bytes.fromhex(secret)
    with suppress(ValueError):
        plain = secret.rstrip("=").translate(str.maketrans("-_", "+/"))
        yield base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _is_printable(value: bytes) -> bool:
    """Return whether bytes are a printable text; random bytes of the length of a key never are."""
    try:
        return value.decode().isprintable()
    except ValueError:
        return False


def _is_text(secret: str) -> bool:
    pairs = [first + second for first, second in pairwise(secret.lower()) if first.isalpha() and second.isalpha()]
    expected = len(pairs) * _RANDOM_SHARE
    return sum(pair in _FREQUENT_PAIRS for pair in pairs) > max(
        _MIN_PAIRS, expected + _DEVIATIONS * math.sqrt(expected)
    )


def _development_faults(settings: Settings) -> Iterator[str]:
    if not _is_loopback(urlsplit(settings.issuer).hostname):
        yield "IDP_ENV: is development, but the host of IDP_ISSUER is not loopback"


def _secret_faults(settings: Settings) -> Iterator[str]:
    named = (
        ("IDP_SECRET_KEY", settings.secret_key),
        *(("IDP_SECRET_KEY_FALLBACKS", s) for s in settings.secret_key_fallbacks),
    )
    for name, secret in named:
        if weakness := key_weakness(secret.get_secret_value()):
            yield f"{name}: {weakness}; create one: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"


def _transport_faults(settings: Settings) -> Iterator[str]:
    smtp = urlsplit(settings.smtp_url.get_secret_value())
    if smtp.scheme == "smtp" and not _is_loopback(smtp.hostname):
        yield "IDP_SMTP_URL: sends mails in clear to another host: use smtps:// or smtp+starttls://"
    if settings.database_url.startswith("postgresql") and (fault := _connection_fault(settings.database_url)):
        yield f"IDP_DATABASE_URL: {fault}"


def _placeholder_faults(settings: Settings) -> Iterator[str]:
    for name, why in _REQUIRED.items():
        if not getattr(settings, name).strip():
            yield f"IDP_{name.upper()}: is empty: {why}"
    if not settings.support_phone.strip() and not settings.support_url.strip():
        yield "IDP_SUPPORT_PHONE, IDP_SUPPORT_URL: are empty: letters and pages must give a help line or page"
    if settings.academy.strip() in {"", Settings.model_fields["academy"].default}:
        yield "IDP_ACADEMY: is the default: pages and letters must name the académie"
    for name, value in settings:
        if _has_placeholder(name, _shown(value)):
            yield f"IDP_{name.upper()}: has a placeholder"


def _has_placeholder(name: str, text: str) -> bool:
    if name in _SHOWN_TEXTS and _is_placeholder(text):
        return True
    if name == "issuer" and not _is_filled(urlsplit(text).hostname or ""):
        return True
    return name not in _JUDGED_APART and not text.startswith("mailto:") and _SAMPLE in unquote(text)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(_shown, value))
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _is_placeholder(text: str) -> bool:
    return bool(text.strip()) and (not _is_filled(text) or bool(_PLACEHOLDER.search(text)))


def _is_filled(text: str) -> bool:
    """Return whether a text has a letter or a digit: `…`, `-` and `???` have none."""
    return any(character.isalnum() for character in text)


def _mail_faults(settings: Settings) -> Iterator[str]:
    for name in _MAILS:
        value = getattr(settings, name)
        if name == "mail_from" and _is_local(value):
            yield "IDP_MAIL_FROM: has a local domain or an IP: mails would be refused"
        elif value.strip() and not _is_placeholder(value) and not _is_mail(value):
            yield f"IDP_{name.upper()}: must be one email, such as nom@exemple.fr"
        elif name == "mail_from" and _is_placeholder(value):
            yield "IDP_MAIL_FROM: has a placeholder"
    contact = settings.security_contact
    if contact.startswith("mailto:") and not _is_mail(contact.removeprefix("mailto:").partition("?")[0]):
        yield "IDP_SECURITY_CONTACT: must be mailto: and one email"


def _is_mail(value: str) -> bool:
    try:
        parse_email(value)
    except InvalidEmailError:
        return False
    return True


def _is_local(email: str) -> bool:
    domain = email.rpartition("@")[2].lower().rstrip(".")
    try:
        ip_address(domain.strip("[]").removeprefix("ipv6:"))
    except ValueError:
        is_local = "." not in domain or domain.endswith((".localhost", ".localdomain"))
        return is_local and not _is_placeholder(email)
    return True


def _list_faults(settings: Settings) -> Iterator[str]:
    if settings.breached_passwords is None:
        return
    from idp.accounts.passwords import breached  # noqa: PLC0415 - it imports the database's models

    try:
        breached.describe(settings.breached_passwords)
    except OSError as fault:
        yield f"IDP_BREACHED_PASSWORDS: cannot be read ({fault.strerror}): create it with idp passwords load"
    except breached.UnreadableFilterError as fault:
        yield f"IDP_BREACHED_PASSWORDS: cannot be used: {fault}"


def _connection_fault(database_url: str) -> str:
    """Return why a connection to PostgreSQL may be unencrypted to another host, or an empty string.

    libpq resolves the URL: it also reads a service file (`?service=`, PGSERVICE), PGHOST, PGHOSTADDR and PGSSLMODE.
    """
    url = make_url(database_url)
    _, options = url.get_dialect()().create_connect_args(url)
    try:
        # libpq checks this option after all others and refuses it, so that it does not connect
        conninfo = make_conninfo(**{**options, "target_session_attrs": "none"})
    except psycopg.Error:
        return "has an option that libpq does not know"
    connection = psycopg.pq.PGconn.connect_start(conninfo.encode())
    try:
        if b"target_session_attrs" not in connection.error_message:
            return "cannot be used by libpq: its service does not exist, or an option has a wrong value"
        resolved = {option.keyword.decode(): (option.val or b"").decode(errors="replace") for option in connection.info}
    finally:
        connection.finish()
    hosts = [host for name in ("host", "hostaddr") for host in resolved[name].split(",")]
    if all(_is_this_host(host) for host in hosts) or resolved["sslmode"] in _SAFE_SSL_MODES:
        return ""
    return (
        "connects to another host without TLS (libpq also reads a service file, PGHOST, PGSSLMODE…): add "
        "?sslmode=verify-full (verify-ca or require)"
    )


def _is_this_host(host: str) -> bool:
    return not host or host.startswith(("/", "@")) or _is_loopback(host)


def _is_loopback(host: str | None) -> bool:
    if host is None or host.lower() in LOOPBACK:
        return host is not None
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
