"""Settings: read once from the environment (prefix `IDP_`) or from the TOML file that `IDP_CONFIG` names, and frozen.

Nothing else in the code reads the environment. Every fault is reported at once, by setting name, never with a value.
"""

import os
import re
import ssl
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

PREFIX = "IDP_"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_SMTP_SCHEMES = frozenset({"smtp", "smtps", "smtp+starttls"})
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE)
_CONTACT = re.compile(r"(mailto:[^\s@]+@[^\s@]+|https://[^\s/]+\S*|tel:\+?[0-9().-]{3,})")
_FOREIGN = "AUTHLIB_INSECURE_TRANSPORT"


class ConfigurationError(Exception):
    """The settings cannot be used; `faults` holds one sentence for each fault."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Settings(BaseSettings):
    """All that an operator can decide. Durations are in seconds unless their name says otherwise."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True
    )

    env: Literal["production", "development"] = Field("production", description="`development` allows http on loopback")
    issuer: str = Field(description="the public address of this service, exactly as clients know it; no final slash")
    secret_key: SecretStr = Field(
        SecretStr(""), description="32 random bytes or more: signs forms and continuations, encrypts signing keys"
    )
    secret_key_fallbacks: tuple[SecretStr, ...] = Field(
        (), description="former secret keys, newest first, as a JSON list: still read, never used to write"
    )
    database_url: str = Field("sqlite:///var/idp.db", description="`sqlite:///…` or `postgresql://…`")
    allow_sqlite: bool = Field(False, description="production may use a SQLite file: one school, one machine")
    database_pool: int = Field(8, ge=1, le=100, description="connections per process and engine: 2 × this + 2 in all")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="the least that is logged; libraries stay at INFO or above, whatever it is"
    )

    smtp_url: SecretStr = Field(
        SecretStr("smtp://127.0.0.1:25"),
        description="`smtp://`, `smtps://` or `smtp+starttls://`, with user and password",
    )
    mail_from: str = Field("ne-pas-repondre@localhost", description="the sender's address")
    school_digest_hour: int = Field(
        7, ge=0, le=23, description="from which hour (in Paris) schools get the day's mail with their new notices"
    )
    mail_required: bool = Field(True, description="no code for a client before the mail address is confirmed")

    outgoing_allow: tuple[str, ...] = Field(
        (),
        description="host names and networks (CIDR) that are not public and may be called all the same, as a JSON list",
    )
    ca_bundle: Path | None = Field(
        None, description="a PEM file of authorities that vouch for ENTs' servers, besides the system's"
    )
    trusted_proxies: int = Field(0, ge=0, le=5, description="how many proxies in front set X-Forwarded-For and -Proto")
    failure_alarm: int = Field(
        300, ge=0, le=1_000_000, description="wrong secrets in a minute, over all nodes, that raise an alarm; 0: never"
    )
    theme: Path | None = Field(None, description="a folder whose `tokens.css` and `logo.svg` replace ours")
    service_name: str = Field("Scolarité Services", max_length=60)
    academy: str = Field("Académie", max_length=80, description="the academy's name, shown under the service's")
    support_url: str = Field("", description="a page that helps families")
    support_phone: str = Field("", max_length=30, description="the families' help line, as it is dialled")
    support_hours: str = Field("", max_length=80, description="when the help line answers")
    publisher: str = Field("", max_length=200, description="who publishes the service (legal notice)")
    publication_director: str = Field("", max_length=200, description="who answers for what is published")
    host: str = Field("", max_length=200, description="who hosts the service (legal notice)")
    contact_mail: str = Field("", max_length=200, description="the address of the legal notice")
    dpo_mail: str = Field("", max_length=200, description="the data protection officer's address")
    accessibility_mail: str = Field("", max_length=200, description="where accessibility problems are reported")
    security_contact: str = Field(
        "",
        max_length=200,
        description="where weaknesses are reported: mailto:…, https://… or tel:…; /.well-known/security.txt",
    )

    rsa_bits: int = Field(2048, ge=2048, le=4096, multiple_of=1024, description="size of new RSA signing keys")
    key_rotation_days: int = Field(90, ge=0, le=400, description="days that a signing key signs; 0: by hand only")

    code_lifetime: int = Field(60, ge=10, le=600, description="authorization code (RFC 9700: short)")
    pushed_request_lifetime: int = Field(
        90, ge=10, lt=600, description="a pushed authorization request until it is opened (RFC 9126)"
    )
    access_token_lifetime: int = Field(600, ge=60, le=3600, description="access token")
    id_token_lifetime: int = Field(300, ge=60, le=3600, description="ID token")
    refresh_idle: int = Field(14 * 86400, ge=3600, description="refresh token unused")
    refresh_absolute: int = Field(30 * 86400, ge=3600, le=90 * 86400, description="refresh tokens of one sign-in")
    refresh_grace: int = Field(10, ge=0, le=30, description="a lost answer may be asked again this long")
    session_idle: int = Field(3600, ge=300, le=7200, description="session without a request")
    session_absolute: int = Field(12 * 3600, ge=3600, le=86400, description="session, whatever happens")
    interaction_lifetime: int = Field(1800, ge=300, le=7200, description="an authorization request in progress")
    activation_lifetime: int = Field(1800, ge=300, le=7200, description="from the letter's secret to the new password")
    email_link_lifetime: int = Field(86400, ge=3600, le=7 * 86400, description="link that confirms a mail address")
    reset_link_lifetime: int = Field(1800, ge=600, le=3600, description="link that leads to a new password")
    contest_link_lifetime: int = Field(72 * 3600, ge=86400, le=7 * 86400, description="link « ce n’était pas moi »")
    reauthentication_window: int = Field(300, ge=60, le=900, description="how long a password typed again counts")
    new_device_mail: bool = Field(True, description="a mail after the first sign-in from a new browser")
    inactive_days: int = Field(365, ge=180, le=1100, description="days without a sign-in before a warning")
    inactive_warning_days: int = Field(30, ge=7, le=90, description="days from the warning to the removal")
    audit_days: int = Field(365, ge=180, le=1100, description="how long the journal is kept")
    audit_failure_days: int = Field(183, ge=30, le=1100, description="how long it keeps refusals and failures")
    provisional_days: int = Field(60, ge=1, le=90, description="provisional password, in days from its drawing")

    roster_person_in_charge: bool = Field(
        False, description="people in charge of a pupil (authority 2) get an account as legal representatives do"
    )
    roster_leaving_percent: float = Field(
        5, ge=0, le=100, description="a complete file that would disable more accounts, in percent, needs --force"
    )

    password_min_length: int = Field(12, ge=8, le=64, description="characters")
    breached_passwords: Path | None = Field(
        None, description="the file that `idp passwords load` makes of a list of stolen passwords; each node reads it"
    )
    shared_mailbox: Literal["allow", "known-device", "refuse"] = Field(
        "allow",
        description="one mail address for several accounts: `allow`; `known-device`: a new password is then asked for"
        " from a device that the account knows, else by letter; `refuse`",
    )
    hash_concurrency: int = Field(0, ge=0, le=64, description="password hashes at once per process; 0: one per core")
    hash_wait: float = Field(2.0, ge=0.1, le=10, description="how long a sign-in waits for its turn before a 503")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment, then the TOML file; no dot-file and no secrets folder, so that nothing surprises."""
        toml = os.environ.get(f"{PREFIX}CONFIG")
        sources = [init_settings, env_settings]
        if toml:
            sources.append(TomlConfigSettingsSource(settings_cls, toml_file=toml))
        return tuple(sources)

    @field_validator("issuer")
    @classmethod
    def _issuer_is_an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"https", "http"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an address such as https://connexion.exemple.fr")
        try:
            usable = parts.port != 0 and not parts.username and not parts.path.strip("/")
        except ValueError:  # a port that is none
            usable = False
        if not usable:
            raise ValueError("must be a scheme and a host alone (and a port): pages are served at its root")
        if value.endswith("/"):
            raise ValueError("must not end with a slash: clients compare it letter by letter")
        return value

    @field_validator("database_url")
    @classmethod
    def _database_is_known(cls, value: str) -> str:
        if not value.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
            raise ValueError("must begin with sqlite:/// or postgresql://")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _smtp_is_an_address(cls, value: SecretStr) -> SecretStr:
        parts = urlsplit(value.get_secret_value())
        try:
            usable = parts.scheme in _SMTP_SCHEMES and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port that is none
            usable = False
        if not usable:
            raise ValueError("must be smtp://host:port, smtps://… or smtp+starttls://…")
        if parts.scheme == "smtp" and parts.password and parts.hostname not in LOOPBACK:
            raise ValueError("would send the password in clear: use smtps:// or smtp+starttls://")
        return value

    @field_validator("mail_from")
    @classmethod
    def _sender_is_an_address(cls, value: str) -> str:
        local, _, domain = value.partition("@")
        if not local or not domain or "@" in domain or any(c.isspace() or c in ",;<>" for c in value):
            raise ValueError("must be one mail address")
        return value

    @field_validator("security_contact")
    @classmethod
    def _contact_is_an_address(cls, value: str) -> str:
        right = not value or (_CONTACT.fullmatch(value) and value.isprintable())
        if not right:
            raise ValueError("must be mailto:…, https://… or tel:… (RFC 9116)")
        return value

    @field_validator("outgoing_allow")
    @classmethod
    def _allowed_are_hosts_or_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for place, entry in enumerate(value, 1):
            try:
                ip_network(entry)
            except ValueError:
                if entry.replace(".", "").isdigit() or not _HOST.fullmatch(entry):
                    raise ValueError(
                        f"entry {place} must be a host name, or a network such as 10.1.0.0/16, its host bits zero"
                    ) from None
        return value

    @field_validator("theme")
    @classmethod
    def _theme_exists(cls, value: Path | None) -> Path | None:
        if value is not None and not (value / "tokens.css").is_file():
            raise ValueError("must be a folder that holds tokens.css")
        return value

    @field_validator("breached_passwords")
    @classmethod
    def _filter_has_a_folder(cls, value: Path | None) -> Path | None:
        if value is not None and (value.is_dir() or not value.parent.is_dir()):
            raise ValueError("must be a file, which need not be there yet, in a folder that is")
        return value

    @field_validator("ca_bundle")
    @classmethod
    def _authorities_are_readable(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                ssl.create_default_context().load_verify_locations(value)
            except (OSError, ssl.SSLError):
                raise ValueError("must be a readable PEM file of certificates") from None
        return value

    @model_validator(mode="after")
    def _production_is_safe(self) -> "Settings":
        faults = []
        parts = urlsplit(self.issuer)
        own_machine = self.env == "development" and parts.hostname in LOOPBACK
        if parts.scheme == "http" and not own_machine:
            faults.append("issuer: must be https; http is for loopback in development only")
        for name, secret in (
            ("secret_key", self.secret_key),
            *(("secret_key_fallbacks", s) for s in self.secret_key_fallbacks),
        ):
            length = len(secret.get_secret_value().encode())
            if length < 32 and not (own_machine and name == "secret_key" and not length):  # noqa: PLR2004
                faults.append(f"{name}: must be 32 bytes or more")
            elif length and len(set(secret.get_secret_value())) < 8:  # noqa: PLR2004
                faults.append(f"{name}: must be random")
        if self.env == "production" and self.database_url.startswith("sqlite") and not self.allow_sqlite:
            faults.append(
                "database_url: is a SQLite file, for a demonstration or one school: name a PostgreSQL database, "
                "or set IDP_ALLOW_SQLITE=1"
            )
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @property
    def development(self) -> bool:
        """Whether this is a developer's machine: http on loopback, cookies without `Secure`."""
        return self.env == "development"

    @property
    def https(self) -> bool:
        """Whether browsers reach this service over TLS."""
        return self.issuer.startswith("https://")

    @cached_property
    def secrets(self) -> tuple[bytes, ...]:
        """The secret key, then its fallbacks: the first writes, all are tried to read."""
        current = self.secret_key.get_secret_value() or "development only: not a secret, and never in production"
        return (current.encode(), *(s.get_secret_value().encode() for s in self.secret_key_fallbacks))

    def lifetime(self, name: str) -> timedelta:
        """Return the setting `name` (seconds) as a duration."""
        return timedelta(seconds=getattr(self, name))

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield each setting's name and its value, secrets hidden."""
        for field in type(self).model_fields:
            value = getattr(self, field)
            yield f"{PREFIX}{field.upper()}", _shown(field, value)


def _shown(name: str, value: Any) -> str:
    if isinstance(value, SecretStr):
        return "(set)" if value.get_secret_value() else "(empty)"
    if isinstance(value, tuple):
        return f"({len(value)} set)"
    if name == "database_url" and "@" in value:
        scheme, _, rest = value.partition("://")
        return f"{scheme}://(hidden)@{rest.rpartition('@')[2]}"
    return str(value)


def load(**overrides: Any) -> Settings:
    """Read the settings; `overrides` (field names) win over environment and file.

    Raises:
        ConfigurationError: with every fault found: unknown names, missing or wrong values, an unreadable file.
    """
    faults = list(_unknown_names(os.environ))
    if os.environ.get(_FOREIGN):
        faults.append(f"{_FOREIGN}: must not be set, any value of it switches a check of the protocol library off")
    toml = os.environ.get(f"{PREFIX}CONFIG")
    if toml and not Path(toml).is_file():
        faults.append(f"{PREFIX}CONFIG: no such file")
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        faults += [fault for detail in error.errors(include_input=False, include_url=False) for fault in _fault(detail)]
    except ValueError as error:  # unreadable TOML, or a list that is not JSON
        faults.append(f"{PREFIX}CONFIG or a list among the settings cannot be read: {type(error).__name__}")
    if faults:
        raise ConfigurationError(faults)
    return settings


def _unknown_names(environment: Mapping[str, str]) -> Iterator[str]:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {f"{PREFIX}CONFIG"}
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            yield f"{name}: unknown setting"


def _fault(detail: Mapping[str, Any]) -> Iterator[str]:
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["loc"]:
        message = f"{'.'.join(str(part) for part in detail['loc'])}: {message}"
    for line in message.splitlines():
        name, _, rest = line.partition(": ")
        yield f"{PREFIX}{name.upper()}: {rest[:1].lower()}{rest[1:]}"
