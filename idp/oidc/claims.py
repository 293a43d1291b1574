"""What clients learn of a person (OpenID Connect Core 5; the school's claims are SDET's).

Every claim is written here by name: no attribute of an account or of an import can become `iss`, `sub` or another
reserved one. Names stay as the school's file has them, since ENT software compares them letter by letter; empty claims
are left out.
"""

import base64
import uuid
from datetime import datetime
from typing import Any

from idp import opaque
from idp.accounts.models import Degree, SchoolProfile
from idp.accounts.vector import guardian_vector
from idp.clients.models import SubjectType
from idp.clients.registry import Registration
from idp.oidc.hot import Granted, Holder
from idp.sessions.models import PASSWORD, PASSWORD_ON_KNOWN_DEVICE

PASSWORD_CLASS = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"  # noqa: S105 - a class of methods
KNOWN_DEVICE_CLASS = "urn:scolarite-services:acr:password-known-device"
ACR_VALUES = (KNOWN_DEVICE_CLASS, PASSWORD_CLASS)
_CLASSES = {PASSWORD: PASSWORD_CLASS, PASSWORD_ON_KNOWN_DEVICE: KNOWN_DEVICE_CLASS}
CLAIMS_BY_SCOPE = {
    "profile": ("name", "given_name", "family_name", "preferred_username", "locale", "updated_at"),
    "email": ("email", "email_verified"),
    "ent": ("ENTPersonProfils", "ENTPersonJointure", "FrEduVecteur", "uai", "children"),
    "charter": ("charter_accepted", "charter_version", "charter_accepted_at"),
}
SCOPES = ("openid", *CLAIMS_BY_SCOPE, "offline_access")


def subject(client: Registration, account_id: uuid.UUID, join_key: str | None) -> str:
    """Return `sub` of an account for a client (Core 8): the same for ever, and by default another for each client.

    A client of type `aaf` gets the join key of the school's file behind its academy's prefix; an account that has none
    gets the public value, which no ENT can mistake for somebody's key.
    """
    if client.subject_type is SubjectType.PAIRWISE:
        return base64.urlsafe_b64encode(opaque.keyed_digest(client.subject_salt, account_id.hex)).rstrip(b"=").decode()
    if client.subject_type is SubjectType.AAF and join_key:
        return f"{client.subject_prefix}-{join_key}" if client.subject_prefix else join_key
    return account_id.hex


def id_token(client: Registration, granted: Granted) -> dict[str, Any]:
    """Return the claims of the ID token that say who signed in, how and when (Core 2), and the charter's status."""
    claims: dict[str, Any] = {
        "sub": subject(client, granted.account_id, granted.join_key),
        "auth_time": int(granted.auth_time.timestamp()),
        "acr": _CLASSES[granted.acr],
        "amr": granted.amr,
        "sid": granted.sid,
        "azp": client.client_id,
    }
    if granted.nonce is not None:
        claims["nonce"] = granted.nonce
    if "charter" in _effective(client, granted.scope):
        claims |= _charter(granted.charter_version, granted.charter_accepted_at)
    return claims


def user_info(client: Registration, holder: Holder) -> dict[str, Any]:
    """Return the claims that the token's scopes, or the client's registration, release (Core 5.3)."""
    scopes = _effective(client, holder.scope)
    claims: dict[str, Any] = {"sub": subject(client, holder.account_id, holder.join_key)}
    if "profile" in scopes:
        claims |= {
            "name": f"{holder.given_name} {holder.family_name}".strip(),
            "given_name": holder.given_name,
            "family_name": holder.family_name,
            "preferred_username": holder.username,
            "locale": holder.locale,
            "updated_at": int(holder.updated_at.timestamp()),
        }
    if "email" in scopes and holder.email:
        claims |= {"email": holder.email, "email_verified": True}
    if "ent" in scopes:
        claims |= _school(holder)
    if "charter" in scopes:
        claims |= _charter(holder.charter_version, holder.charter_accepted_at)
    return {name: value for name, value in claims.items() if value not in ("", None)}


def _effective(client: Registration, scope: str) -> frozenset[str]:
    return frozenset(scope.split()) | client.always_claims


def _charter(version: str | None, accepted_at: datetime | None) -> dict[str, Any]:
    if version is None:
        return {"charter_accepted": True}
    claims: dict[str, Any] = {"charter_accepted": accepted_at is not None, "charter_version": version}
    if accepted_at is not None:
        claims["charter_accepted_at"] = int(accepted_at.timestamp())
    return claims


def _school(holder: Holder) -> dict[str, Any]:
    """Return the school's claims, for the children in schools that the client serves; one vector for each of them.

    A client that serves none of them learns no key of the school's files either.
    """
    vectors = [
        guardian_vector(
            Degree[child["degree"]],
            family_name=holder.family_name,
            given_name=holder.given_name,
            student_id=child["student_id"],
            uai=child["uai"],
        )
        for child in holder.children
    ]
    return {
        "ENTPersonProfils": [SchoolProfile[holder.profile].value],
        "ENTPersonJointure": holder.join_key if holder.children else None,
        "FrEduVecteur": vectors,
        "uai": sorted({child["uai"] for child in holder.children}),
        "children": [{k: v for k, v in child.items() if k != "degree"} for child in holder.children],
    }
