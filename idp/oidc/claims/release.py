"""Builds the claims that a client receives (OpenID Connect Core 5; the school's claims are defined by SDET).

Each claim is written here by its name, so that no attribute of an account or of an import can become `iss`, `sub` or
another reserved claim. A person's names are released exactly as the school's file has them, because ENT software
compares them. Empty claims are left out (5.3.2). Scopes and the claims request (`idp.oidc.claims.parameter`) select
claims among those that the client is registered for.
"""

import uuid
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any

from idp import opaque
from idp.accounts.models import Degree
from idp.clients.models import SubjectType
from idp.clients.registry import Registration
from idp.clients.released import guardian_vector
from idp.oidc.claims import parameter
from idp.oidc.store.contract import Grant, Holder
from idp.sessions.models import METHODS, PASSKEY_IN_HARDWARE, PASSKEY_IN_SOFTWARE, PASSWORD, PASSWORD_ON_KNOWN_DEVICE

PASSWORD_CLASS = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"  # noqa: S105 - a class of methods
KNOWN_DEVICE_CLASS = "urn:scolarite-services:acr:password-known-device"
PASSKEY_CLASS = "urn:scolarite-services:acr:passkey"
PHISHING_RESISTANT_CLASS = "phr"  # the class of EAP ACR Values 1.0 that a passkey satisfies
ACR_VALUES = (PASSKEY_CLASS, PHISHING_RESISTANT_CLASS, KNOWN_DEVICE_CLASS, PASSWORD_CLASS)
"""The values of `acr`, the strongest first: passkey; password on a browser that the account had used before; password.

A sign-in satisfies the weaker ones too, so that a passkey opens an ENT that asks for the class of the password.
"""

# The classes that a sign-in satisfies, its own first.
_SATISFIED = {
    PASSWORD: (PASSWORD_CLASS,),
    PASSWORD_ON_KNOWN_DEVICE: (KNOWN_DEVICE_CLASS, PASSWORD_CLASS),
    PASSKEY_IN_SOFTWARE: ACR_VALUES,
    PASSKEY_IN_HARDWARE: ACR_VALUES,
}

SETTABLE_PROFILE = ("middle_name", "nickname", "profile", "picture", "website", "gender", "birthdate", "zoneinfo")
"""Standard claims of the scope `profile` that an operator may set, since no school file has them."""

SET_BY_OPERATORS = frozenset({*SETTABLE_PROFILE, "phone_number", "phone_number_verified"})
"""The claims that are empty unless an operator sets them for a person."""

USERNAME = "preferred_username"
"""The identifier that the person signs in with: released only to clients registered with `release_username`."""

_GUARDIAN = "National_2"  # the profile of everybody who has an account (SDET, `ENTPersonProfils`)

CLAIMS_BY_SCOPE = {
    "profile": (
        *("name", "given_name", "family_name", USERNAME, "locale", "updated_at"),
        *SETTABLE_PROFILE,
    ),
    "email": ("email", "email_verified"),
    "address": ("address",),
    "phone": ("phone_number", "phone_number_verified"),
    "ent": ("ENTPersonProfils", "ENTPersonJointure", "FrEduVecteur", "uai", "children"),
    "charter": ("charter_accepted", "charter_version", "charter_accepted_at"),
}
_UNKNOWN: tuple[Any, ...] = ("", None, [])  # values of claims that are left out
SCOPES = ("openid", *CLAIMS_BY_SCOPE, "offline_access")


def subject(client: Registration, account_id: uuid.UUID, join_key: str | None) -> str:
    """Return the claim `sub` of an account for a client (Core 8). It never changes.

    By default it differs from client to client. A client of type `aaf` gets the join key of the school's file, after
    the academy's prefix; for an account without a join key it gets the public value, which looks like no join key.
    """
    if client.subject_type is SubjectType.PAIRWISE:
        return opaque.keyed_value(client.subject_salt, account_id.hex)
    if client.subject_type is SubjectType.AAF and join_key:
        return f"{client.subject_prefix}-{join_key}" if client.subject_prefix else join_key
    return account_id.hex


def session_id(salt: bytes, sid: str) -> str:
    """Return the claim `sid` of a session (Back-Channel Logout 1.0, 2.1) for the clients that share `salt`.

    Like a pairwise `sub`, it differs from sector to sector, so that two ENTs cannot link their sessions.
    """
    return opaque.keyed_value(salt, f"sid {sid}")


def releasable_claims(client: Registration) -> frozenset[str]:
    """Return the claims of a person that the client's registration allows, whatever a request asks for."""
    return _of_scopes(client.scopes | client.always_claims) - _withheld(client)


def released_scopes(client: Registration, scope: str, claims_request: str | None) -> frozenset[str]:
    """Return the scopes of which a request releases one claim at least."""
    request = parameter.deserialize(claims_request)
    names = (request.userinfo.keys() | request.id_token.keys()) & releasable_claims(client)
    return effective_scopes(client, scope) | {
        name for name, claims in CLAIMS_BY_SCOPE.items() if not names.isdisjoint(claims)
    }


def _withheld(client: Registration) -> frozenset[str]:
    return frozenset() if client.release_username else frozenset({USERNAME})


@lru_cache(maxsize=256)
def _of_scopes(scopes: frozenset[str]) -> frozenset[str]:
    return frozenset(name for scope, names in CLAIMS_BY_SCOPE.items() if scope in scopes for name in names)


def required_session_class(classes: Collection[str]) -> str | None:
    """Return the class that a session needs to satisfy one of `classes`; None if each session satisfies one."""
    if PASSWORD_CLASS in classes:
        return None
    return PASSWORD_ON_KNOWN_DEVICE if KNOWN_DEVICE_CLASS in classes else PASSKEY_IN_SOFTWARE


def requests_id_token_claims(grant: Grant) -> bool:
    """Return whether the request asked for claims of the person in the ID token."""
    return bool(grant.claims and parameter.deserialize(grant.claims).id_token)


def id_token_claims(client: Registration, grant: Grant, holder: Holder | None) -> dict[str, Any]:
    """Return the claims of the ID token about the sign-in (Core 2) and the charter.

    `holder` is needed for the claims of the person, if the request asked for some (Core 5.5).
    """
    claims: dict[str, Any] = {}
    if holder is not None:
        claims |= _requested(client, holder, parameter.deserialize(grant.claims).id_token)
    if "charter" in effective_scopes(client, grant.scope):
        claims |= _charter(grant)
    claims |= {
        "sub": subject(client, grant.account_id, grant.join_key),
        "auth_time": int(grant.auth_time.timestamp()),
        "acr": authentication_class(grant.acr, grant.claims),
        "amr": METHODS[grant.acr],
        "sid": session_id(client.subject_salt, grant.sid),
        "azp": client.client_id,
    }
    if grant.nonce is not None:
        claims["nonce"] = grant.nonce
    return claims


def userinfo_claims(client: Registration, holder: Holder) -> dict[str, Any]:
    """Return the claims of UserInfo (Core 5.3)."""
    scopes = effective_scopes(client, holder.scope)
    claims: dict[str, Any] = {}
    for scope, group in _GROUPS.items():
        if scope in scopes:
            claims |= group(holder)
    if holder.claims:
        claims |= _requested(client, holder, parameter.deserialize(holder.claims).userinfo)
    claims["sub"] = subject(client, holder.account_id, holder.join_key)
    withheld = _withheld(client)
    return {name: value for name, value in claims.items() if value not in _UNKNOWN and name not in withheld}


def _requested(client: Registration, holder: Holder, requested: parameter.RequestedClaims) -> dict[str, Any]:
    """Return the requested claims that the registration allows and whose value the request accepts (Core 5.5.1)."""
    allowed = releasable_claims(client) & requested.keys()
    known: dict[str, Any] = {}
    for scope, group in _GROUPS.items():
        if not allowed.isdisjoint(CLAIMS_BY_SCOPE[scope]):
            known |= group(holder)
    present = {name: known[name] for name in allowed if known.get(name) not in _UNKNOWN}
    return {name: value for name, value in present.items() if (values := requested[name]) is None or value in values}


def authentication_class(acr: str, claims_request: str | None) -> str:
    """Return the claim `acr` (Core 2): the first requested class that the sign-in satisfies, else its own class."""
    satisfied = _SATISFIED[acr]
    requested = parameter.deserialize(claims_request).acr if claims_request else ()
    return next((value for value in requested if value in satisfied), satisfied[0])


def remaining_scope(client: Registration, scope: str) -> str:
    """Return the part of a granted scope that the client is still registered for (RFC 6749 5.1)."""
    return " ".join(name for name in scope.split() if name in client.scopes)


def effective_scopes(client: Registration, scope: str) -> frozenset[str]:
    """Return the scopes that release claims: the granted ones that the client still has, and its `always_claims`."""
    return client.scopes.intersection(scope.split()) | client.always_claims


def _profile(holder: Holder) -> dict[str, Any]:
    return {
        "name": f"{holder.given_name} {holder.family_name}".strip(),
        "given_name": holder.given_name,
        "family_name": holder.family_name,
        USERNAME: holder.username,
        "locale": holder.locale,
        "updated_at": int(holder.updated_at.timestamp()),
        **{name: holder.more_claims[name] for name in SETTABLE_PROFILE if name in holder.more_claims},
    }


def _email(holder: Holder) -> dict[str, Any]:
    return {"email": holder.email, "email_verified": True} if holder.email else {}


def _address(holder: Holder) -> dict[str, Any]:
    """Return the postal address (Core 5.1.1): that of the school's file, with the members that an operator set."""
    from_file = {
        "street_address": "\n".join(holder.address_lines),
        "postal_code": holder.postcode,
        "locality": holder.city,
        "country": holder.country,
    }
    parts = {name: value for name, value in {**from_file, **holder.more_claims.get("address", {})}.items() if value}
    if not parts:
        return {}
    place = " ".join(parts[name] for name in ("postal_code", "locality") if name in parts)
    lines = (parts.get("street_address"), place, parts.get("region"), parts.get("country"))
    return {"address": {"formatted": "\n".join(filter(None, lines)), **parts}}


def _phone(holder: Holder) -> dict[str, Any]:
    number = holder.more_claims.get("phone_number")
    if not number:
        return {}
    return {
        "phone_number": number,
        "phone_number_verified": holder.more_claims.get("phone_number_verified", False),
    }


def _charter(granted: Grant | Holder) -> dict[str, Any]:
    """Return whether and when the client's current charter was accepted; true if the client has no charter."""
    version, accepted_at = granted.charter_version, granted.charter_accepted_at
    if version is None:
        return {"charter_accepted": True}
    claims: dict[str, Any] = {"charter_accepted": accepted_at is not None, "charter_version": version}
    if accepted_at is not None:
        claims["charter_accepted_at"] = int(accepted_at.timestamp())
    return claims


def _school(holder: Holder) -> dict[str, Any]:
    """Return the school's claims, for the children in schools that the client serves.

    If there is none, the join key is not released either.
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
        "ENTPersonProfils": [_GUARDIAN],
        "ENTPersonJointure": holder.join_key if holder.children else None,
        "FrEduVecteur": vectors,
        "uai": sorted({child["uai"] for child in holder.children}),
        "children": [{k: v for k, v in child.items() if k != "degree"} for child in holder.children],
    }


# The function that builds the claims of each scope.
_GROUPS: dict[str, Callable[[Holder], dict[str, Any]]] = {
    "profile": _profile,
    "email": _email,
    "address": _address,
    "phone": _phone,
    "ent": _school,
    "charter": _charter,
}
