"""Finds clients. Each process caches for a minute what requests read of a registration.

A cached registration alone decides no refusal: a caller that would refuse reads the registration again first. The
statements of a sign-on check `version` in the database, so a change holds at the next request on every node.
"""

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import structlog
from sqlalchemy import case, func, select
from sqlalchemy.orm import lazyload

from idp.clients.models import CharterMode, Client, ClientSchool, SubjectType
from idp.config import Settings
from idp.db import db

log = structlog.get_logger()

_CACHE_SECONDS = 60.0
_UNKNOWN_SECONDS = 10.0
_MOST_UNKNOWN = 1000
_LONGEST_CLIENT_ID = 64
_LONGEST_IN_A_CODE = 250  # characters: a QR code of more has dots too small for paper
PROFILE_HINT = "profil:"  # the beginning of a `login_hint` that names a profile (`idp.profile_choice`)
PARENT_HINT = f"{PROFILE_HINT}parent"  # the `login_hint` of a parent
LETTER_HINT = f"{PARENT_HINT}:courrier"
"""The `login_hint` that a letter's QR code sends: the browser may have another person's session."""


@dataclass(frozen=True, slots=True)
class Registration:
    """The registration of a client when it was read; `key` is the primary key of its row."""

    key: uuid.UUID
    client_id: str
    name: str
    secret_digest: bytes | None
    former_secret_digest: bytes | None
    former_secret_until: datetime | None
    auth_method: str
    auth_alg: str
    assertion_audience: str
    jwks: dict[str, Any] | None
    jwks_uri: str
    redirect_uris: tuple[str, ...]
    post_logout_redirect_uris: tuple[str, ...]
    home_uri: str
    initiate_login_uri: str
    backchannel_logout_uri: str
    frontchannel_logout_uri: str
    scopes: frozenset[str]
    always_claims: frozenset[str]
    subject_type: SubjectType
    subject_salt: bytes
    subject_prefix: str
    pkce_required: bool
    par_required: bool
    dpop_required: bool
    fapi2: bool
    default_max_age: int | None
    default_acr_values: str
    id_token_alg: str
    userinfo_alg: str
    refresh_id_token: bool
    charter_mode: CharterMode
    charter_version_id: uuid.UUID | None
    default_profile: str
    profile_uris: tuple[tuple[str, str], ...]
    policy_uri: str
    tos_uri: str
    release_username: bool
    version: int

    @property
    def home(self) -> str:
        """The ENT's home page, or the URL that starts a sign-in there."""
        return self.home_uri or self.initiate_login_uri

    def entrance(self, issuer: str) -> str:
        """Return where a parent enters the ENT: at the URL that starts its sign-in (Core 4), or at its home page.

        An ENT that sends the `login_hint` back spares the parent the choice of a profile.
        """
        if not self.initiate_login_uri:
            return self.home_uri
        parameters = {"iss": issuer, "login_hint": PARENT_HINT}
        if self.home_uri:
            parameters["target_link_uri"] = self.home_uri
        return self._starting(parameters)

    def short_entrance(self, issuer: str) -> str:
        """Return the shortest URL that starts the sign-in of a letter's parent at the ENT.

        The home page, if the ENT has no URL that starts a sign-in or if that makes more than a QR code can hold well.
        """
        if not self.initiate_login_uri:
            return self.home_uri
        url = self._starting({"iss": issuer, "login_hint": LETTER_HINT})
        return url if len(url) <= _LONGEST_IN_A_CODE else self.home_uri

    def _starting(self, parameters: dict[str, str]) -> str:
        return f"{self.initiate_login_uri}{'&' if '?' in self.initiate_login_uri else '?'}{urlencode(parameters)}"


_cache: dict[tuple[int, str], tuple[float, Registration]] = {}
_disabled_logged: dict[tuple[int, str], float] = {}
_unknown: dict[tuple[int, str], float] = {}


def find(client_id: str, *, fresh: bool = False) -> Registration | None:
    """Return the registration of an enabled client, from the cache unless `fresh`; None if there is none.

    `client_id` may be any text of a request. None is never an answer of the cache.
    """
    if len(client_id) > _LONGEST_CLIENT_ID or not client_id.isascii() or not client_id.isprintable():
        return None
    key = (id(db.engine), client_id)
    cached = _cache.get(key)
    if cached and not fresh and time.monotonic() - cached[0] < _CACHE_SECONDS:
        return cached[1]
    statement = select(Client).where(Client.client_id == client_id)
    row = db.session.scalar(statement.options(lazyload(Client.schools)))  # no caller reads the schools
    if row is None or row.disabled_at is not None:
        _cache.pop(key, None)
        if row is None:
            if len(_unknown) >= _MOST_UNKNOWN:
                _unknown.clear()
            _unknown[key] = time.monotonic()
        else:
            _log_disabled(key)
        return None
    registration = registration_of(row)
    _cache[key] = (time.monotonic(), registration)
    return registration


def is_unknown(client_id: str) -> bool:
    """Return whether the database had no such client within ten seconds: one that is added meanwhile waits for them."""
    return time.monotonic() - _unknown.get((id(db.engine), client_id), -_UNKNOWN_SECONDS) < _UNKNOWN_SECONDS


def _log_disabled(key: tuple[int, str]) -> None:
    """Write a line for operators, whom the ENT's people call, at most once a minute: anybody may ask."""
    if time.monotonic() - _disabled_logged.get(key, -_CACHE_SECONDS) >= _CACHE_SECONDS:
        _disabled_logged[key] = time.monotonic()
        log.info("client is disabled", client_id=key[1])


def find_by_key(key: uuid.UUID | None) -> Registration | None:
    """Return the registration of an enabled client by its primary key, read from the database."""
    row = db.session.get(Client, key) if key else None
    return registration_of(row) if row and row.disabled_at is None else None


def serving(uais: Iterable[str], *, preferred: uuid.UUID | None = None) -> Registration | None:
    """Return the ENT that serves one of the schools, or None.

    Args:
        uais: the schools.
        preferred: the primary key of the client that is chosen among several; otherwise it is the one registered first.
    """
    key = db.session.scalar(
        select(ClientSchool.client_id)
        .join(Client, Client.id == ClientSchool.client_id)
        .where(ClientSchool.uai.in_(list(uais)), Client.disabled_at.is_(None))
        .order_by(case((Client.id == preferred, 0), else_=1), Client.created_at)
        .limit(1)
    )
    return find_by_key(key)


def all_serving(uais: Iterable[str]) -> list[Registration]:
    """Return the ENTs that serve any of the schools, sorted by name."""
    serving_one = select(ClientSchool.client_id).where(ClientSchool.uai.in_(list(uais)))
    rows = db.session.scalars(
        select(Client)
        .where(Client.disabled_at.is_(None), Client.id.in_(serving_one))
        .order_by(func.lower(Client.name), Client.id)
        .options(lazyload(Client.schools))
    )
    return [registration_of(row) for row in rows]


def forget() -> None:
    """Empty the cache of this process."""
    _cache.clear()
    _disabled_logged.clear()
    _unknown.clear()


def registration_of(row: Client) -> Registration:
    """Return a row as a value that cannot change. Fields that are not converted here are columns of the same name."""
    converted: dict[str, Any] = {
        "key": row.id,
        "redirect_uris": tuple(row.redirect_uris),
        "post_logout_redirect_uris": tuple(row.post_logout_redirect_uris),
        "scopes": frozenset(row.scopes),
        "always_claims": frozenset(row.always_claims),
        "fapi2": row.security_profile == "fapi2",
        "default_acr_values": " ".join(row.description.get("default_acr_values", ())),
        "profile_uris": tuple((str(profile), str(uri)) for profile, uri in row.profile_uris.items()),
        "policy_uri": str(row.description.get("policy_uri", "")),
        "tos_uri": str(row.description.get("tos_uri", "")),
    }
    columns = {item.name: getattr(row, item.name) for item in fields(Registration) if item.name not in converted}
    return Registration(**columns, **converted)


def public_names(settings: Settings) -> tuple[str, ...]:
    """Return the names that parents see on pages: those of this service, the académie and the ENTs."""
    clients = db.session.scalars(select(Client.name).where(Client.disabled_at.is_(None)))
    return (settings.service_name, settings.academy, *clients)
