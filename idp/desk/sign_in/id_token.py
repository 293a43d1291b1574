"""Verifies the ID token of the académie's provider (OpenID Connect Core 3.1.3.7)."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwt import JWTClaimsRegistry

from idp.clock import now
from idp.config import Settings
from idp.oidc.keys import jose
from idp.oidc.keys.jose import InvalidTokenError

LEEWAY = timedelta(seconds=30)
"""How far the clocks of the two services may differ."""
_MOST_KEYS = 20
_LONGEST_SUBJECT = 255


class Fault(enum.Enum):
    """Why the académie's provider does not open the desk."""

    LATE = enum.auto()
    """The response is late, replayed, or of another browser."""
    REFUSED = enum.auto()
    """The provider refused, or the person gave up."""
    UNREACHABLE = enum.auto()
    """The provider does not answer, or answers with something else."""
    INVALID = enum.auto()
    """The ID token is not valid."""
    WEAK = enum.auto()
    """The `acr` does not prove two factors."""
    OLD = enum.auto()
    """A fresh proof was asked for, and the person signed in earlier."""


class AcademyError(Exception):
    """The académie's provider does not open the desk; `reason` is for operators."""

    def __init__(self, fault: Fault, reason: str = "") -> None:
        super().__init__(reason)
        self.fault = fault
        self.reason = reason


@dataclass(frozen=True)
class Identity:
    """A person at the académie's provider. `authenticated_at` is when the person signed in there, if it says so."""

    issuer: str
    subject: str
    authenticated_at: datetime | None


def verify(settings: Settings, token: str, keys: dict[str, Any], nonce: str) -> Identity:
    """Return the person of an ID token, which is of the configured issuer, for this client and this request.

    Raises:
        AcademyError: it is not, or its `acr` is not the configured value.
    """
    try:
        header, claims = jose.parts(token)
        algorithm = jose.algorithm(header)
    except InvalidTokenError as error:
        raise AcademyError(Fault.INVALID, f"ID token: {error}") from error
    _check_signature(token, algorithm, header, keys)
    _check_claims(settings, claims, nonce)
    acr = claims.get("acr")
    if not isinstance(acr, str) or acr != settings.desk_oidc_acr:
        raise AcademyError(Fault.WEAK, "ID token: its acr is not IDP_DESK_OIDC_ACR")
    return Identity(claims["iss"], claims["sub"], _instant(claims.get("auth_time")))


def check_fresh(identity: Identity, begun_at: datetime) -> None:
    """Check that the person signed in at the provider after `begun_at`.

    Raises:
        AcademyError: the sign-in is older, or the provider does not say when it was.
    """
    if identity.authenticated_at is None or identity.authenticated_at < begun_at - LEEWAY:
        raise AcademyError(Fault.OLD, "ID token: its auth_time is missing or before the request")


def _check_signature(token: str, algorithm: str, header: dict[str, Any], keys: dict[str, Any]) -> None:
    for jwk in _candidates(header, keys):
        try:
            jose.check_signature(token, algorithm, jose.public_key(jwk, algorithm))
        except InvalidTokenError:
            continue
        return
    raise AcademyError(Fault.INVALID, "ID token: no key of the provider verifies its signature")


def _candidates(header: dict[str, Any], keys: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the keys that may have signed: the key that the header names, or all keys if it names none."""
    listed = keys.get("keys")
    for jwk in listed[:_MOST_KEYS] if isinstance(listed, list) else []:
        is_named = isinstance(jwk, dict) and ("kid" not in header or jwk.get("kid") == header["kid"])
        if is_named and jwk.get("use", "sig") == "sig":
            yield jwk


def _check_claims(settings: Settings, claims: dict[str, Any], nonce: str) -> None:
    client_id = settings.desk_oidc_client_id
    registry = JWTClaimsRegistry(
        now=lambda: int(now().timestamp()),
        leeway=int(LEEWAY.total_seconds()),
        iss={"essential": True, "value": settings.desk_oidc_issuer},
        aud={"essential": True, "value": client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": nonce},
    )
    try:
        registry.validate(claims)
    except JoseError as error:
        raise AcademyError(Fault.INVALID, f"ID token: {error}") from error
    has_others = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if claims.get("azp", "" if has_others else client_id) != client_id:
        raise AcademyError(Fault.INVALID, "ID token: its azp is another client")
    subject = claims["sub"]
    if not (len(subject) <= _LONGEST_SUBJECT and subject.isascii() and subject.isprintable()):
        raise AcademyError(Fault.INVALID, "ID token: its sub cannot be stored")


def _instant(seconds: object) -> datetime | None:
    """Return the instant of a NumericDate that is not in the future, or None."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return None
    try:
        instant = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return instant if instant <= now() + LEEWAY else None
