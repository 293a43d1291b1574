"""Settings of the ENT, read once from the environment (prefix `ENT_`). All faults are reported together."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast
from urllib.parse import urlsplit

from flask import current_app

from clients.kit import Registration
from clients.kit.checks import is_web_url

PREFIX = "ENT_"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
ACCENTS = ("aubergine", "sapin", "brique")
CHARTERS = ("ent", "provider", "none")
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
_REQUIRED = ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "NAME", "PUBLIC_URL", "DATABASE", "SECRET_KEY")
_OPTIONAL = {
    "BIND": "127.0.0.1:8001",
    "CHARTER": "ent",
    "ACCENT": "aubergine",
    "TAGLINE": "Devoirs, notes, absences et messages de l’établissement, au même endroit.",
    "SCHOOLS": "",
    "CA_BUNDLE": "",
    "ID_TOKEN_ALG": "RS256",
}
_MAX_PORT = 65535
_SECRET_LENGTH = 32

WhoShowsCharter = Literal["ent", "provider", "none"]


class SettingsError(Exception):
    """The settings are invalid. `faults` has one sentence for each fault and never contains a secret."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of an ENT.

    Attributes:
        issuer: the provider's issuer identifier, compared letter by letter.
        client_id: as `idp client add` printed it.
        client_secret: as `idp client add` printed it, once.
        name: the ENT's name, the title of its home page.
        bind: IP address and port to listen on; with port 0 the system chooses a port.
        public_url: the origin that browsers use, without a final slash; `/callback` under it is the redirect URI.
        charter: who shows the charter: this ENT, the provider before it issues a code, or nobody.
        database: SQLite file of the sessions and the notification emails.
        secret_key: key for the form tokens; 32 characters or more.
        accent: colours and emblem, so that two ENTs look different.
        tagline: the sentence under the name.
        schools: the names of the ENT's schools by their UAI, which is all that the provider sends of a child's school.
        ca_bundle: PEM file of the certificate authorities for the provider; empty for the system's.
        id_token_alg: the provider's signature algorithm, as registered.
    """

    issuer: str
    client_id: str
    client_secret: str
    name: str
    bind: tuple[str, int]
    public_url: str
    charter: WhoShowsCharter
    database: Path
    secret_key: str
    accent: str
    tagline: str
    schools: Mapping[str, str]
    ca_bundle: str
    id_token_alg: str

    @property
    def registration(self) -> Registration:
        """The registration at the provider. The scope `charter` is requested unless the ENT has no charter."""
        return Registration(
            issuer=self.issuer,
            client_id=self.client_id,
            client_secret=self.client_secret,
            redirect_uri=f"{self.public_url}/callback",
            post_logout_redirect_uri=self.home_uri,
            scope="openid profile email ent" + ("" if self.charter == "none" else " charter"),
            id_token_alg=self.id_token_alg,
            ca_bundle=self.ca_bundle,
        )

    @property
    def home_uri(self) -> str:
        """The URL of the home page, also the post-logout redirect URI."""
        return f"{self.public_url}/"

    @property
    def account_uri(self) -> str:
        """The URL of the provider's page where parents change their password and email."""
        return f"{self.issuer.rstrip('/')}/mon-compte"

    @property
    def secure(self) -> bool:
        """Whether browsers use https: the cookie is then `Secure` and has the prefix `__Host-`."""
        return self.public_url.startswith("https:")

    @property
    def cookie_name(self) -> str:
        """The name of the session cookie, with the client id: cookies ignore ports, and two ENTs may share a host."""
        return ("__Host-" if self.secure else "") + "ent_" + re.sub(r"[^A-Za-z0-9_.~-]", "_", self.client_id)

    @property
    def browser_cookie_name(self) -> str:
        """The name of the cookie that identifies a browser with a sign-in in progress."""
        return f"{self.cookie_name}.browser"


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read and validate the settings.

    Raises:
        SettingsError: a setting is missing, unknown or invalid.
    """
    present = {name.removeprefix(PREFIX): value.strip() for name, value in environ.items() if name.startswith(PREFIX)}
    values = _OPTIONAL | {name: value for name, value in present.items() if value}
    faults = [
        f"{PREFIX}{name} is not a setting of the ENT." for name in sorted(present.keys() - {*_REQUIRED, *_OPTIONAL})
    ]
    faults += [f"{PREFIX}{name} is missing." for name in _REQUIRED if not values.get(name)]
    faults += _invalid_values(values)
    if faults:
        raise SettingsError(faults)
    host, _, port = values["BIND"].rpartition(":")
    return Settings(
        issuer=values["ISSUER"],
        client_id=values["CLIENT_ID"],
        client_secret=values["CLIENT_SECRET"],
        name=values["NAME"],
        bind=(host.strip("[]"), int(port)),
        public_url=values["PUBLIC_URL"].rstrip("/"),
        charter=cast("WhoShowsCharter", values["CHARTER"]),
        database=Path(values["DATABASE"]),
        secret_key=values["SECRET_KEY"],
        accent=values["ACCENT"],
        tagline=values["TAGLINE"],
        schools=_schools(values["SCHOOLS"]),
        ca_bundle=values["CA_BUNDLE"],
        id_token_alg=values["ID_TOKEN_ALG"],
    )


def _invalid_values(values: Mapping[str, str]) -> list[str]:
    """Return a sentence for each invalid value."""
    rules = {
        "ISSUER": (is_web_url, "must be the provider's https URL (http is accepted on loopback only)"),
        "PUBLIC_URL": (_is_origin, "must be an https URL without a path (http is accepted on loopback only)"),
        "BIND": (_is_bind, "must be a host and a port, such as 127.0.0.1:8001"),
        "CHARTER": (CHARTERS.__contains__, f"must be one of {', '.join(CHARTERS)}"),
        "ACCENT": (ACCENTS.__contains__, f"must be one of {', '.join(ACCENTS)}"),
        "ID_TOKEN_ALG": (ALGORITHMS.__contains__, f"must be one of {', '.join(ALGORITHMS)}"),
        "SECRET_KEY": (lambda value: len(value) >= _SECRET_LENGTH, f"must have {_SECRET_LENGTH} characters or more"),
        "SCHOOLS": (lambda value: all(_schools(value).values()), "must be UAI=name; UAI=name"),
        "CA_BUNDLE": (lambda value: Path(value).is_file(), "must name a PEM file that exists"),
    }
    return [
        f"{PREFIX}{name} {sentence}."
        for name, (is_valid, sentence) in rules.items()
        if values.get(name) and not is_valid(values[name])
    ]


def _schools(value: str) -> dict[str, str]:
    """Return the names by UAI of `UAI=name; UAI=name`; the name of a part without a sign of equality is empty."""
    parts = [part.partition("=") for part in value.split(";") if part.strip()]
    return {uai.strip(): name.strip() for uai, _, name in parts}


def _is_origin(value: str) -> bool:
    """Return whether the value is a URL without a path."""
    return is_web_url(value) and urlsplit(value).path in {"", "/"}


def _is_bind(value: str) -> bool:
    """Return whether the value is `host:port`."""
    host, _, port = value.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and int(port) <= _MAX_PORT


def current_settings() -> Settings:
    """Return the settings of the application that serves the request."""
    return cast("Settings", current_app.extensions["ent_settings"])
