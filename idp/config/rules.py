"""Validators of single settings, and opening hours in the notation of OpenStreetMap.

Each validator returns a valid value, and raises `ValueError` for others.
"""

import re
import ssl
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import time
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from idp import origins

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_SMTP_SCHEMES = frozenset({"smtp", "smtps", "smtp+starttls"})
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE)
_CONTACT = re.compile(r"(mailto:[^\s@]+@[^\s@]+|https://[^\s/]+\S*|tel:\+?[0-9().-]{3,})")
_MOST_METRICS_PORT = 65_533
# The shortest prefix of an allowed private network, by IP version: those of 10.0.0.0/8 and fc00::/7.
_WIDEST = {4: 8, 6: 7}


def unless_empty(check: Callable[[str], str]) -> Callable[[str], str]:
    """Return a validator that leaves an empty text as it is, and checks any other."""
    return lambda value: check(value) if value else value


def check_issuer(value: str) -> str:
    """Check that the issuer is a scheme and a host, without a path."""
    parts = urlsplit(value)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be a URL such as https://connexion.exemple.fr")
    try:
        usable = parts.port != 0 and not parts.username and not parts.path.strip("/")
    except ValueError:  # an invalid port
        usable = False
    if not usable:
        raise ValueError("must be only a scheme and a host (and a port), since pages are served at its root")
    if value.endswith("/"):
        raise ValueError("must not end with a slash, since clients compare it character by character")
    is_placeholder = "…" in value  # a production start names it as such
    if value != origins.of(value) or not (value.isascii() or is_placeholder):
        raise ValueError(
            "must be written as browsers write it: an ASCII host in lower case, without :443 (https) or :80 (http)"
        )
    return value


def check_provider(value: str) -> str:
    """Check that the issuer of another provider is an https URL; without TLS it may be on this machine only."""
    parts = urlsplit(value)
    is_secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not is_secure or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("must be an https URL such as https://connexion.academie.exemple.fr")
    return value


def desk_faults(desk_url: str, issuer: str) -> list[str]:
    """Return `field: message` if the desk has the host of the service, which shares cookies, or another scheme."""
    desk, service = urlsplit(desk_url), urlsplit(issuer)
    faults = []
    if desk.hostname == service.hostname:
        faults.append("desk_url: must have another host than IDP_ISSUER, since browsers send cookies to all ports")
    if desk.scheme != service.scheme:
        faults.append("desk_url: must have the scheme of IDP_ISSUER")
    return faults


def check_metrics_bind(value: str) -> str:
    """Check that it is an IP with a port, and that the ports of the other commands exist too."""
    host, _, port = value.rpartition(":")
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        raise ValueError("must be an IP and a port, such as 127.0.0.1:9464 or [::1]:9464") from None
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= _MOST_METRICS_PORT):
        raise ValueError(f"must have a port from 1 to {_MOST_METRICS_PORT}")
    return value


def check_database(value: str) -> str:
    """Check that it is the URL of a PostgreSQL database; return it as SQLAlchemy reads it."""
    if not value.startswith(("postgresql://", "postgresql+psycopg://")):
        raise ValueError("must begin with postgresql://: the service runs on no other database")
    try:
        with_hosts_as_options = _with_hosts_as_options(value)
        make_url(with_hosts_as_options)
    except (ArgumentError, ValueError, psycopg.Error):  # ValueError for an invalid port
        raise ValueError("is not a URL") from None
    return with_hosts_as_options


def _with_hosts_as_options(database_url: str) -> str:
    """Return a URL as SQLAlchemy reads it; libpq's form names several hosts: `postgresql://h1:5432,h2:5432/idp`."""
    scheme, _, rest = database_url.partition("://")
    if "," not in re.split(r"[/?]", rest, maxsplit=1)[0].rpartition("@")[2]:
        return database_url
    options = {name: str(value) for name, value in conninfo_to_dict(f"postgresql://{rest}").items()}
    hosts = options["host"].split(",")
    ports = [port or "5432" for port in options.get("port", "").split(",")]
    if not all(port.isascii() and port.isdigit() for port in ports):
        raise ValueError("a port is no number")
    options["port"] = ",".join(ports * len(hosts) if len(ports) == 1 else ports)
    url = URL.create(
        scheme,
        username=options.pop("user", None),
        password=options.pop("password", None),
        database=options.pop("dbname", None),
        query=options,
    )
    return url.render_as_string(hide_password=False)


def check_smtp(value: SecretStr) -> SecretStr:
    """Check that it is an SMTP URL that does not send a password in clear."""
    parts = urlsplit(value.get_secret_value())
    try:
        usable = parts.scheme in _SMTP_SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid port
        usable = False
    if not usable:
        raise ValueError("must be smtp://host:port, smtps://… or smtp+starttls://…")
    if parts.scheme == "smtp" and parts.password and parts.hostname not in LOOPBACK:
        raise ValueError("would send the password in clear: use smtps:// or smtp+starttls://")
    return value


def check_sender(value: str) -> str:
    """Check that it is one email."""
    local, _, domain = value.partition("@")
    if not local or not domain or "@" in domain or any(c.isspace() or c in ",;<>" for c in value):
        raise ValueError("must be one email")
    return value


def check_contact(value: str) -> str:
    """Check that it is empty, or a contact of RFC 9116."""
    is_valid = not value or (_CONTACT.fullmatch(value) and value.isprintable())
    if not is_valid:
        raise ValueError("must be mailto:…, https://… or tel:… (RFC 9116)")
    return value


def check_allowed(value: tuple[str, ...]) -> tuple[str, ...]:
    """Check that the entries are host names, or networks no wider than private ones."""
    for place, entry in enumerate(value, 1):
        try:
            network = ip_network(entry)
            shortest = _WIDEST[network.version]
            too_wide = network.prefixlen < shortest
        except ValueError:
            too_wide = False
            if entry.replace(".", "").isdigit() or not _HOST.fullmatch(entry):
                raise ValueError(
                    f"entry {place} must be a host name, or a network such as 10.1.0.0/16 without host bits"
                ) from None
        if too_wide:
            raise ValueError(f"entry {place} is wider than any private network: /{shortest} at least")
    return value


def check_theme(value: Path | None) -> Path | None:
    """Check that the folder has a theme."""
    if value is not None and not (value / "tokens.css").is_file():
        raise ValueError("must be a folder with a file tokens.css")
    return value


def check_filter(value: Path | None) -> Path | None:
    """Check that it is a file, or a new name, in a folder that exists."""
    if value is not None and (value.is_dir() or not value.parent.is_dir()):
        raise ValueError("must be a file, which may not exist yet, in a folder that exists")
    return value


def check_text_file(value: Path | None) -> Path | None:
    """Check that the file can be read as UTF-8."""
    if value is not None:
        try:
            value.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            raise ValueError(f"cannot be read ({getattr(fault, 'strerror', 'not UTF-8')})") from None
    return value


def check_authorities(value: Path | None) -> Path | None:
    """Check that the file has PEM certificates."""
    if value is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
        except (OSError, ssl.SSLError):
            raise ValueError("must be a readable PEM file of certificates") from None
    return value


def toml_fault(toml: str) -> str:
    """Return why the TOML file cannot be read, or an empty string."""
    try:
        with Path(toml).open("rb") as file:
            tomllib.load(file)
    except FileNotFoundError:
        return "no such file"
    except OSError as fault:
        return f"cannot be read ({fault.strerror})"
    except ValueError as fault:  # not TOML, or not UTF-8; the text of the error may have a value
        return f"cannot be read as TOML: {type(fault).__name__}"
    return ""


_DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
_DAY = "|".join(_DAYS)
_HOURS = r"(?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-3]):[0-5]\d"
_RULE = re.compile(rf"((?:{_DAY})(?:-(?:{_DAY})|(?:,(?:{_DAY}))*)) ({_HOURS}(?:,{_HOURS})?)")
_LOOKS_LIKE_RULE = re.compile(rf"(?:{_DAY})\b")


@dataclass(frozen=True)
class OpeningHours:
    """A rule of days, Monday being 0, and of one or two ranges of hours; a span gives its first and last day."""

    days: tuple[int, ...]
    is_span: bool
    times: tuple[time, ...]


def read_hours(text: str) -> OpeningHours | None:
    """Return the rule that `text` states, such as `Mo-Fr 08:00-12:00,14:00-18:00`, or None for any other text."""
    match = _RULE.fullmatch(text)
    if match is None:
        return None
    days = tuple(_DAYS.index(day) for day in re.split("[-,]", match[1]))
    times = tuple(map(time.fromisoformat, re.split("[-,]", match[2])))
    if list(days) != sorted(set(days)) or list(times) != sorted(set(times)):
        return None
    return OpeningHours(days, "-" in match[1], times)


def check_hours(text: str) -> str:
    """Check that a text that begins as the notation is a whole rule; other texts are shown as they are.

    Raises:
        ValueError: the rule cannot be read.
    """
    if _LOOKS_LIKE_RULE.match(text) and read_hours(text) is None:
        raise ValueError(
            "must be days and one or two ranges of hours, such as Mo-Fr 08:00-18:00 or"
            " Mo,Tu,Th,Fr 08:30-12:00,13:30-17:00, or a text in French"
        )
    return text
