"""All settings: their bounds, and what they mean for an operator."""

import os
from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from idp.config import rules
from idp.config.display import shown

PREFIX = "IDP_"


def settings_file() -> str | None:
    """Return the name of the TOML file with settings, if there is one."""
    return os.environ.get(f"{PREFIX}CONFIG")


class _Environment(EnvSettingsSource):
    """Reads the environment. It passes a list that is not JSON on as text, which the validator of the field refuses."""

    def prepare_field_value(self, field_name: str, field: FieldInfo, value: Any, value_is_complex: bool) -> Any:  # noqa: FBT001 - pydantic's signature
        try:
            return super().prepare_field_value(field_name, field, value, value_is_complex)
        except ValueError:
            return value


class Settings(BaseSettings):
    """All that an operator can set. Durations are in seconds unless their name says otherwise."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True
    )

    database_pooler: bool = Field(
        False,
        description="PgBouncer in transaction mode is before PostgreSQL; the role has the time limits (`ALTER ROLE`)",
    )
    drain_seconds: int = Field(
        6,
        ge=0,
        le=120,
        description="seconds that `idp serve` still accepts connections after SIGTERM, while `/readyz` fails: longer"
        " than a proxy keeps an idle connection, and 24 seconds shorter than the supervisor's patience",
    )
    desk_url: str = Field(
        "",
        description="public URL of the school desk: another host than that of this service. Empty: there is no desk",
    )
    desk_oidc_issuer: str = Field(
        "",
        max_length=500,
        description="issuer of the académie's OpenID provider, by which staff may sign in at the desk",
    )
    desk_oidc_client_id: str = Field("", max_length=200, description="the desk's client id at that provider")
    desk_oidc_client_secret: SecretStr = Field(SecretStr(""), description="the desk's client secret at that provider")
    desk_oidc_acr: str = Field(
        "", max_length=200, description="the `acr` of that provider that proves two factors; any other value is refused"
    )
    metrics_bind: str = Field(
        "",
        description="IP and port on which Prometheus reads the metrics, such as `127.0.0.1:9464`: `idp serve` at this"
        " port, `idp worker` at the next one, `idp desk serve` at the one after. Everybody who reaches the port reads"
        " them, so no proxy may lead there. Empty: no metrics",
    )
    traces: bool = Field(
        False,
        description="export spans by OTLP, as the variables `OTEL_…` of OpenTelemetry say; needs the extra"
        " `traces`, which `constraints.txt`, the image and the Debian package include",
    )
    env: Literal["production", "development"] = Field(
        "production", description="`development` allows http on loopback and needs no secret key"
    )
    issuer: str = Field(
        description="public URL of this service, exactly as the clients know it: scheme, host and port, no final slash"
    )
    secret_key_file: Path | None = Field(
        None, description="file that has the secret key, in place of `IDP_SECRET_KEY`, such as a credential of systemd"
    )
    secret_key: SecretStr = Field(
        SecretStr(""),
        description="32 random bytes or more; signs forms and requests in progress, encrypts the signing keys."
        " Required in production, and the same on all nodes",
    )
    secret_key_fallbacks: tuple[SecretStr, ...] = Field(
        (), description="former secret keys, newest first: the service still reads with them and never writes with them"
    )
    database_url: str = Field("postgresql:///idp", description="database, such as `postgresql://idp@db.example/idp`")
    database_pool: int = Field(
        8, ge=1, le=100, description="a worker process opens at most 2 × this + 2 connections to PostgreSQL"
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="lowest level that is logged; libraries never log below INFO"
    )

    smtp_url: SecretStr = Field(
        SecretStr("smtp://127.0.0.1:25"),
        description="mail server: `smtp://`, `smtps://` or `smtp+starttls://`, with user and password if it needs them",
    )
    mail_from: str = Field("ne-pas-repondre@localhost", description="email address of the sender of all mails")
    school_digest_hour: int = Field(
        7, ge=0, le=23, description="hour, in Paris, from which schools get the daily mail with their new notices"
    )
    mail_required: bool = Field(True, description="a client gets no code before the person confirmed an email address")

    outgoing_allow: tuple[str, ...] = Field(
        (), description="hosts and networks (CIDR) that the service may send requests to although they are not public"
    )
    ca_bundle: Path | None = Field(
        None, description="PEM file of certification authorities for the servers of ENTs, besides the system's"
    )
    trusted_proxies: int = Field(
        0, ge=0, le=5, description="number of proxies in front that set `X-Forwarded-For` and `X-Forwarded-Proto`"
    )
    failure_alarm: int = Field(
        300, ge=0, le=1_000_000, description="wrong secrets in one minute, over all nodes, that raise an alarm; 0: none"
    )
    theme: Path | None = Field(
        None, description="folder of a theme: `tokens.css` changes the look of the pages; `logo.svg`, if any, the logo"
    )
    service_name: str = Field("Scolarité Services", max_length=60, description="name of the service on pages and mails")
    academy: str = Field(
        "Académie", max_length=80, description="name of the académie, under the service's name on pages and letters"
    )
    support_url: str = Field("", description="URL of a page that helps families")
    support_phone: str = Field("", max_length=30, description="telephone of the help line, as families dial it")
    support_hours: str = Field(
        "",
        max_length=80,
        description="opening hours of the help line: `Mo-Fr 08:00-18:00` or `Mo,Tu,Th,Fr 08:30-12:00,13:30-17:00`,"
        " which pages and mails write in the reader's language; any other text is shown as it is, as French",
    )
    legal_publisher: str = Field("", max_length=200, description="legal notice: who publishes the service")
    publication_director: str = Field(
        "", max_length=200, description="legal notice: who is responsible for the content"
    )
    legal_host: str = Field("", max_length=200, description="legal notice: who hosts the service")
    contact_mail: str = Field("", max_length=200, description="legal notice: email address of the publisher")
    dpo_mail: str = Field("", max_length=200, description="email address of the data protection officer")
    accessibility_mail: str = Field("", max_length=200, description="email address for accessibility problems")
    security_contact: str = Field(
        "",
        max_length=200,
        description="where to report weaknesses: `mailto:…`, `https://…` or `tel:…`; published in"
        " `/.well-known/security.txt`",
    )

    rsa_bits: int = Field(2048, ge=2048, le=4096, multiple_of=1024, description="size of new RSA signing keys, in bits")
    key_rotation_days: int = Field(
        90, ge=0, le=400, description="days after which the worker makes a new signing key; 0: by command only"
    )

    code_lifetime: int = Field(60, ge=10, le=600, description="authorization code")
    access_token_lifetime: int = Field(600, ge=60, le=3600, description="access token")
    id_token_lifetime: int = Field(300, ge=60, le=3600, description="ID token")
    refresh_token_lifetime: int = Field(14 * 86400, ge=3600, description="refresh token that nobody uses")
    refresh_absolute: int = Field(
        30 * 86400, ge=3600, le=90 * 86400, description="all refresh tokens of one sign-in together"
    )
    refresh_grace: int = Field(
        10, ge=0, le=30, description="how long a used refresh token gets the same answer again, in case it was lost"
    )
    session_idle: int = Field(3600, ge=300, le=7200, description="session without a request")
    session_absolute: int = Field(12 * 3600, ge=3600, le=86400, description="session in all")
    email_link_lifetime: int = Field(86400, ge=3600, le=7 * 86400, description="link that confirms an email address")
    reset_link_lifetime: int = Field(
        1800, ge=600, le=3600, description="link that leads to a new password; up to an hour if many are asked for"
    )
    contest_link_lifetime: int = Field(
        72 * 3600, ge=86400, le=7 * 86400, description="link « Ce n’était pas moi » after a change of email address"
    )
    stay_days: int = Field(30, ge=0, le=90, description="days of « Rester connecté sur cet appareil »; 0: not offered")
    new_device_mail: bool = Field(True, description="send a mail after the first sign-in from a new browser")
    inactive_days: int = Field(
        365, ge=180, le=1100, description="days without a sign-in after which the account's person is warned by mail"
    )
    inactive_warning_days: int = Field(30, ge=7, le=90, description="days from that mail to the removal of the account")
    audit_days: int = Field(365, ge=180, le=1100, description="days that the journal keeps an event")
    audit_failure_days: int = Field(
        183, ge=30, le=1100, description="days that the journal keeps an event that is a refusal or a failure"
    )
    provisional_days: int = Field(60, ge=1, le=90, description="days that a provisional password is valid")

    roster_person_in_charge: bool = Field(
        False, description="people in charge of a pupil (authority 2) get an account, as legal representatives do"
    )
    roster_leaving_percent: float = Field(
        5,
        ge=0,
        le=100,
        description="share of accounts, in percent, above which an import that ends more than two of them needs "
        "`--force`; with 0, each needs it",
    )

    password_min_length: int = Field(12, ge=8, le=64, description="least number of characters of a password")
    breached_passwords: Path | None = Field(
        None, description="file that `idp passwords load` made from a list of stolen passwords; every node reads it"
    )
    shared_mailbox: Literal["allow", "known-device", "refuse"] = Field(
        "allow",
        description="whether several accounts may have one email address. `allow`: yes. `known-device`: yes, but a"
        " forgotten password is then replaced only from a device that signed in to the account before, or by letter."
        " `refuse`: no. Case does not count; `name+x@` and `name@` are two addresses",
    )
    hash_concurrency: int = Field(
        0, ge=0, le=64, description="password hashes that a process computes at once; 0: one for each core"
    )

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
        toml = settings_file()
        sources = [init_settings, _Environment(settings_cls)]
        if toml and not rules.toml_fault(toml):
            sources.append(TomlConfigSettingsSource(settings_cls, toml_file=toml))
        return tuple(sources)

    @field_validator("secret_key_fallbacks", "outgoing_allow", mode="before")
    @classmethod
    def _list_is_json(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError('must be a JSON list, such as ["one", "another"]')  # noqa: TRY004 - pydantic reports ValueErrors
        return value

    @field_validator("secret_key")
    @classmethod
    def _read_secret_key(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        file = info.data.get("secret_key_file")
        if file is None:
            return value
        if value.get_secret_value():
            raise ValueError(f"must be empty, since {PREFIX}SECRET_KEY_FILE is set")
        return SecretStr(file.read_text(encoding="utf-8").strip())

    @field_validator("traces")
    @classmethod
    def _check_traces(cls, value: bool) -> bool:  # noqa: FBT001 - pydantic's signature
        if value:
            from idp import tracing  # noqa: PLC0415 - most services export no traces

            if not tracing.is_installed():
                raise ValueError("needs the packages of the extra `traces`, which constraints.txt lists")
        return value

    _check_key_file = field_validator("secret_key_file")(rules.check_text_file)
    _check_issuer = field_validator("issuer")(rules.check_issuer)
    _check_database = field_validator("database_url")(rules.check_database)
    _check_smtp = field_validator("smtp_url")(rules.check_smtp)
    _check_sender = field_validator("mail_from")(rules.check_sender)
    _check_hours = field_validator("support_hours")(rules.check_hours)
    _check_contact = field_validator("security_contact")(rules.check_contact)
    _check_allowed = field_validator("outgoing_allow")(rules.check_allowed)
    _check_theme = field_validator("theme")(rules.check_theme)
    _check_filter = field_validator("breached_passwords")(rules.check_filter)
    _check_authorities = field_validator("ca_bundle")(rules.check_authorities)
    _check_metrics_bind = field_validator("metrics_bind")(rules.unless_empty(rules.check_metrics_bind))
    _check_desk_url = field_validator("desk_url")(rules.unless_empty(rules.check_issuer))
    _check_provider = field_validator("desk_oidc_issuer")(rules.unless_empty(rules.check_provider))

    @model_validator(mode="after")
    def _values_fit_together(self) -> "Settings":
        if faults := self.contradictions():
            raise ValueError("\n".join(faults))
        return self

    def contradictions(self) -> list[str]:
        """Return `field: message` for each value that is wrong together with other values."""
        faults = self._desk_contradictions()
        parts = urlsplit(self.issuer)
        own_machine = self.env == "development" and parts.hostname in rules.LOOPBACK
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
        return faults

    def _desk_contradictions(self) -> list[str]:
        faults = []
        if self.desk_url:
            faults += rules.desk_faults(self.desk_url, self.issuer)
        oidc = {
            "desk_oidc_client_id": self.desk_oidc_client_id,
            "desk_oidc_client_secret": self.desk_oidc_client_secret.get_secret_value(),
            "desk_oidc_acr": self.desk_oidc_acr,
        }
        if self.desk_oidc_issuer:
            faults += [f"{name}: must be set with IDP_DESK_OIDC_ISSUER" for name, value in oidc.items() if not value]
            if not self.desk_url:
                faults.append("desk_oidc_issuer: is of no use without IDP_DESK_URL")
        else:
            faults += [f"{name}: is of no use without IDP_DESK_OIDC_ISSUER" for name, value in oidc.items() if value]
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
            yield f"{PREFIX}{field.upper()}", shown(field, value)
