"""Settings: read from the environment (prefix `IDP_`) and from the TOML file that `IDP_CONFIG` names, then frozen.

No other module reads the environment. All faults are reported together, by setting name, without values.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from sqlalchemy import URL, make_url

from idp import config_rules as rules
from idp.config_rules import LOOPBACK

PREFIX = "IDP_"
_FORBIDDEN_VARIABLE = "AUTHLIB_INSECURE_TRANSPORT"
_HIDDEN = "(hidden)"
_SECRET_OPTION = re.compile(r"user|password|secret|scram_.*key", re.IGNORECASE)
"""Options of a database URL with secret values; `sslkey` and `passfile` name files."""
_SECRET_INSIDE = re.compile(r"(password|secret)\s*=", re.IGNORECASE)


class ConfigurationError(Exception):
    """The settings cannot be used.

    Attributes:
        faults: a message for each fault.
        readable: the settings with a default in place of each wrong value; None if the file cannot be read.
        wrong: the fields with a wrong or missing value.
    """

    def __init__(
        self, faults: list[str], readable: "Settings | None" = None, wrong: frozenset[str] = frozenset()
    ) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults
        self.readable = readable
        self.wrong = wrong


class _Environment(EnvSettingsSource):
    """Reads the environment. It passes a list that is not JSON on as text, which the validator of the field refuses."""

    def prepare_field_value(self, field_name: str, field: FieldInfo, value: Any, value_is_complex: bool) -> Any:  # noqa: FBT001 - pydantic's signature
        try:
            return super().prepare_field_value(field_name, field, value, value_is_complex)
        except ValueError:
            return value


class Settings(BaseSettings):
    """The settings. Durations are in seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True
    )

    env: Literal["production", "development"] = Field("production", description="`development` allows http on loopback")
    issuer: str = Field(description="the public URL of this service, exactly as clients know it, without a final slash")
    secret_key: SecretStr = Field(
        SecretStr(""), description="32 random bytes or more: signs cookies and CSRF tokens, encrypts signing keys"
    )
    secret_key_fallbacks: tuple[SecretStr, ...] = Field(
        (), description="former secret keys, newest first, as a JSON list: they verify and decrypt only"
    )
    database_url: str = Field("sqlite:///var/idp.db", description="`sqlite:///…` or `postgresql://…`")
    allow_sqlite: bool = Field(False, description="allow a SQLite file in production: one school, one machine")
    database_pool: int = Field(8, ge=1, le=100, description="connections per process and engine: 2 × this + 2 in all")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="the lowest level that is logged; for libraries, INFO at least"
    )

    smtp_url: SecretStr = Field(
        SecretStr("smtp://127.0.0.1:25"),
        description="`smtp://`, `smtps://` or `smtp+starttls://`, with user and password",
    )
    mail_from: str = Field("ne-pas-repondre@localhost", description="the email of the sender")
    school_digest_hour: int = Field(
        7, ge=0, le=23, description="the hour (in Paris) from which schools get the daily mail with their new notices"
    )
    mail_required: bool = Field(True, description="require a confirmed email before a client gets a code")

    outgoing_allow: tuple[str, ...] = Field(
        (),
        description="private host names and networks (CIDR) that the service may send requests to, as a JSON list",
    )
    ca_bundle: Path | None = Field(
        None, description="a PEM file of authorities that are trusted for the servers of ENTs, besides the system's"
    )
    trusted_proxies: int = Field(0, ge=0, le=5, description="number of proxies that set X-Forwarded-For and -Proto")
    failure_alarm: int = Field(
        300,
        ge=0,
        le=1_000_000,
        description="failed authentications in a minute, on all nodes, that raise an alarm; 0: off",
    )
    theme: Path | None = Field(None, description="a folder whose `tokens.css` and `logo.svg` replace the default ones")
    service_name: str = Field("Scolarité Services", max_length=60)
    academy: str = Field("Académie", max_length=80, description="the name of the académie, below that of the service")
    support_url: str = Field("", description="the URL of a help page for families")
    support_phone: str = Field("", max_length=30, description="the help line for families, as it is dialled")
    support_hours: str = Field("", max_length=80, description="the hours of the help line")
    publisher: str = Field("", max_length=200, description="the publisher of the service (legal notice)")
    publication_director: str = Field("", max_length=200, description="the publication director (legal notice)")
    host: str = Field("", max_length=200, description="the host of the service (legal notice)")
    contact_mail: str = Field("", max_length=200, description="the email of the legal notice")
    dpo_mail: str = Field("", max_length=200, description="the email of the data protection officer")
    accessibility_mail: str = Field("", max_length=200, description="the email for accessibility problems")
    security_contact: str = Field(
        "",
        max_length=200,
        description="the contact for vulnerabilities, in /.well-known/security.txt: mailto:…, https://… or tel:…",
    )

    rsa_bits: int = Field(2048, ge=2048, le=4096, multiple_of=1024, description="size of new RSA signing keys")
    key_rotation_days: int = Field(90, ge=0, le=400, description="days until a new signing key; 0: by command only")

    code_lifetime: int = Field(60, ge=10, le=600, description="authorization code (RFC 9700: short)")
    pushed_request_lifetime: int = Field(90, ge=10, lt=600, description="pushed authorization request (RFC 9126)")
    access_token_lifetime: int = Field(600, ge=60, le=3600, description="access token")
    id_token_lifetime: int = Field(300, ge=60, le=3600, description="ID token")
    refresh_idle: int = Field(14 * 86400, ge=3600, description="refresh token unused")
    refresh_absolute: int = Field(30 * 86400, ge=3600, le=90 * 86400, description="all refresh tokens of one sign-in")
    refresh_grace: int = Field(10, ge=0, le=30, description="a used refresh token may be sent again")
    session_idle: int = Field(3600, ge=300, le=7200, description="session without a request")
    session_absolute: int = Field(12 * 3600, ge=3600, le=86400, description="session, whether used or not")
    interaction_lifetime: int = Field(1800, ge=300, le=7200, description="an authorization request in progress")
    activation_lifetime: int = Field(
        1800, ge=300, le=7200, description="from the letter's password to the new password"
    )
    email_link_lifetime: int = Field(86400, ge=3600, le=7 * 86400, description="link that confirms an email")
    reset_link_lifetime: int = Field(1800, ge=600, le=3600, description="link to choose a new password")
    contest_link_lifetime: int = Field(72 * 3600, ge=86400, le=7 * 86400, description="link « ce n’était pas moi »")
    reauthentication_window: int = Field(300, ge=60, le=900, description="how long a re-authentication is valid")
    new_device_mail: bool = Field(True, description="send a mail after the first sign-in from a new browser")
    inactive_days: int = Field(365, ge=180, le=1100, description="days without a sign-in until a warning")
    inactive_warning_days: int = Field(30, ge=7, le=90, description="days from the warning to the deletion")
    audit_days: int = Field(365, ge=180, le=1100, description="days that the journal is kept")
    audit_failure_days: int = Field(183, ge=30, le=1100, description="days that refusals and failures are kept")
    provisional_days: int = Field(60, ge=1, le=90, description="days that a provisional password is valid")

    roster_person_in_charge: bool = Field(
        False, description="create accounts for people in charge of a pupil (authority 2), as for legal representatives"
    )
    roster_leaving_percent: float = Field(
        5, ge=0, le=100, description="percentage of accounts that a complete file may disable without --force"
    )

    password_min_length: int = Field(12, ge=8, le=64, description="characters")
    breached_passwords: Path | None = Field(
        None, description="the file with breached passwords that `idp passwords load` makes; each node reads it"
    )
    shared_mailbox: Literal["allow", "known-device", "refuse"] = Field(
        "allow",
        description="one email for several accounts: `allow`; `known-device`: a new password needs a device that"
        " signed in to the account before, or a letter; `refuse`. Emails are compared without case: `name+x@` and"
        " `name@` are different, although many providers deliver both to one mailbox",
    )
    hash_concurrency: int = Field(0, ge=0, le=64, description="password hashes at once per process; 0: one per core")
    hash_wait: float = Field(2.0, ge=0.1, le=10, description="how long a sign-in waits for a hash before it gets a 503")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources: the environment, then the TOML file. Dot-env files and secret folders are not read."""
        toml = os.environ.get(f"{PREFIX}CONFIG")
        sources = [init_settings, _Environment(settings_cls)]
        if toml and not _file_fault(toml):
            sources.append(TomlConfigSettingsSource(settings_cls, toml_file=toml))
        return tuple(sources)

    @field_validator("secret_key_fallbacks", "outgoing_allow", mode="before")
    @classmethod
    def _list_is_json(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError('must be a JSON list, such as ["one", "another"]')  # noqa: TRY004 - pydantic reports ValueErrors
        return value

    _check_issuer = field_validator("issuer")(rules.check_issuer)
    _check_database = field_validator("database_url")(rules.check_database)
    _check_smtp = field_validator("smtp_url")(rules.check_smtp)
    _check_sender = field_validator("mail_from")(rules.check_sender)
    _check_contact = field_validator("security_contact")(rules.check_contact)
    _check_allowed = field_validator("outgoing_allow")(rules.check_allowed)
    _check_theme = field_validator("theme")(rules.check_theme)
    _check_filter = field_validator("breached_passwords")(rules.check_filter)
    _check_authorities = field_validator("ca_bundle")(rules.check_authorities)

    @model_validator(mode="after")
    def _values_fit_together(self) -> "Settings":
        if faults := self.contradictions():
            raise ValueError("\n".join(faults))
        return self

    def contradictions(self) -> list[str]:
        """Return `field: message` for each value that is wrong together with other values."""
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
                "database_url: is a SQLite file, which is for a demonstration or one school: set a PostgreSQL URL, "
                "or IDP_ALLOW_SQLITE=1"
            )
        return faults

    @property
    def development(self) -> bool:
        """Whether http on loopback and cookies without `Secure` are allowed."""
        return self.env == "development"

    @property
    def https(self) -> bool:
        """Whether the issuer is an https URL."""
        return self.issuer.startswith("https://")

    @cached_property
    def secrets(self) -> tuple[bytes, ...]:
        """The secret key, which signs and encrypts, then its fallbacks, which only verify and decrypt."""
        current = self.secret_key.get_secret_value() or "development only: not a secret, and never in production"
        return (current.encode(), *(s.get_secret_value().encode() for s in self.secret_key_fallbacks))

    def lifetime(self, name: str) -> timedelta:
        """Return the setting `name`, which is in seconds, as a timedelta."""
        return timedelta(seconds=getattr(self, name))

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield the name and the value of each setting, with secrets hidden."""
        for field in type(self).model_fields:
            value = getattr(self, field)
            yield f"{PREFIX}{field.upper()}", _shown(field, value)


def _shown(name: str, value: Any) -> str:
    if isinstance(value, SecretStr):
        return "(set)" if value.get_secret_value() else "(empty)"
    if isinstance(value, tuple):
        return f"({len(value)} set)"
    return without_secrets(value) if name == "database_url" else str(value)


def without_secrets(database_url: str) -> str:
    """Return a database URL without its user, and without secrets in its options.

    libpq also reads a user and passwords from options (`?user=…&password=…&sslpassword=…`).
    """
    url = make_url(database_url)
    base, _, options = database_url.partition("?")
    if url.get_backend_name() != "sqlite":
        is_split = url.username is not None and "@" in options
        if is_split or any(sign in f"{url.host}{url.database}" for sign in "@=&"):
            return f"{url.drivername}://{_HIDDEN}"  # not well-formed: it may have a part of a password
        base = URL.create(url.drivername, host=url.host, port=url.port, database=url.database).render_as_string()
    if url.username is not None:
        base = base.replace("://", f"://{_HIDDEN}@", 1)
    shown = [(name, _HIDDEN if _is_secret(name, value) else value) for name, value in url.query.items()]
    return f"{base}?{urlencode(shown, doseq=True, safe='/:@,()')}" if shown else base


def _is_secret(option: str, value: str | Sequence[str]) -> bool:
    """Return whether an option of a database URL has a secret, or a part of one that was not escaped."""
    return bool(_SECRET_OPTION.search(option) or _SECRET_INSIDE.search(str(value)))


class _Readable(Settings):
    """Settings with defaults in place of wrong values, without the check for contradictions."""

    model_config = SettingsConfigDict(extra="ignore")

    @model_validator(mode="after")
    def _values_fit_together(self) -> "_Readable":
        return self


_STAND_INS = {"issuer": "https://unknown.invalid"}
"""Defaults for fields without one."""


def load(**overrides: Any) -> Settings:
    """Return the settings; `overrides`, by field name, win over the environment and the file.

    Raises:
        ConfigurationError: with all faults: unknown names, missing or wrong values, an unreadable file.
    """
    faults = list(_unknown_names(os.environ))
    if os.environ.get(_FORBIDDEN_VARIABLE):
        faults.append(f"{_FORBIDDEN_VARIABLE}: must not be set: any value disables a check of the protocol library")
    toml = os.environ.get(f"{PREFIX}CONFIG")
    if toml and (unreadable := _file_fault(toml)):
        raise ConfigurationError([*faults, f"{PREFIX}CONFIG: {unreadable}", *_without_file(overrides)])
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        details = error.errors(include_input=False, include_url=False)
        wrong = frozenset(str(detail["loc"][0]) for detail in details if detail["loc"])
        readable = _readable(overrides, wrong)
        faults += [fault for detail in details for fault in _fault(detail)]
        if wrong:  # then pydantic did not run the model validator
            faults += [f for f in map(_named, readable.contradictions()) if not concerns(f, wrong)]
        raise ConfigurationError(faults, readable, wrong) from None
    if faults:
        raise ConfigurationError(faults, settings)
    return settings


def _readable(overrides: Mapping[str, Any], wrong: frozenset[str]) -> Settings:
    """Return the settings with a default for each field of `wrong`."""
    fields = Settings.model_fields
    stand_ins = {name: _STAND_INS.get(name, fields[name].default) for name in wrong & fields.keys()}
    return _Readable(**{**overrides, **stand_ins})


def _without_file(overrides: Mapping[str, Any]) -> Iterator[str]:
    """Yield the faults of the environment, except missing values, which the unreadable file may have."""
    try:
        _Readable(**overrides)
    except ValidationError as error:
        for detail in error.errors(include_input=False, include_url=False):
            if detail["type"] != "missing":
                yield from _fault(detail)


def _file_fault(toml: str) -> str:
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


def concerns(fault: str, fields: frozenset[str]) -> bool:
    """Return whether the text of a fault names one of `fields`."""
    named = {word.removeprefix(PREFIX).lower() for word in re.findall(rf"\b{PREFIX}[A-Z0-9_]+", fault)}
    return bool(named & fields)


def _unknown_names(environment: Mapping[str, str]) -> Iterator[str]:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {f"{PREFIX}CONFIG"}
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            yield f"{name}: unknown setting"


def _fault(detail: Mapping[str, Any]) -> Iterator[str]:
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["loc"]:
        message = f"{'.'.join(str(part) for part in detail['loc'])}: {message}"
    yield from map(_named, message.splitlines())


def _named(line: str) -> str:
    """Return a line `field: Message` with the name of the setting."""
    name, _, rest = line.partition(": ")
    return f"{PREFIX}{name.upper()}: {rest[:1].lower()}{rest[1:]}"
