"""What clients learn of a person (OpenID Connect Core 5; the school's claims are SDET's).

Every claim is written here by name: no attribute of an account or of an import can become `iss`, `sub` or another
reserved one. Names stay as the school's file has them, since ENT software compares them letter by letter; empty claims
are left out. Scopes and the claims request (`idp.oidc.claims.parameter`) choose among what the client is registered
for, and nothing goes beyond it.
"""

import base64
import uuid
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any

from idp import opaque
from idp.accounts.models import Degree, SchoolProfile
from idp.accounts.vector import guardian_vector
from idp.clients.models import SubjectType
from idp.clients.registry import Registration
from idp.oidc.claims import parameter
from idp.oidc.claims.parameter import Asked
from idp.oidc.store.contract import Grant, Holder
from idp.sessions.models import PASSWORD, PASSWORD_ON_KNOWN_DEVICE

PASSWORD_CLASS = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"  # noqa: S105 - a class of methods
KNOWN_DEVICE_CLASS = "urn:scolarite-services:acr:password-known-device"
ACR_VALUES = (KNOWN_DEVICE_CLASS, PASSWORD_CLASS)
"""The values of `acr`: the password on a browser that the account had signed in on before; the password."""

_SATISFIED = {
    PASSWORD: (PASSWORD_CLASS,),
    PASSWORD_ON_KNOWN_DEVICE: (KNOWN_DEVICE_CLASS, PASSWORD_CLASS),
}
"""The classes that a sign-in satisfies, its own first: who asks for the password alone gets it on any browser."""

SETTABLE_PROFILE = ("middle_name", "nickname", "profile", "picture", "website", "gender", "birthdate", "zoneinfo")
"""Standard claims of the scope `profile` that no school file has: an operator may set them."""

USERNAME = "preferred_username"
"""The identifier that the person signs in with: told to clients that were registered to get it, and no other."""

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
_UNKNOWN: tuple[Any, ...] = ("", None, [])
"""What is not told: a claim that is not known is absent, never empty (5.3.2)."""
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


def session_id(salt: bytes, sid: str) -> str:
    """Return `sid` (Back-Channel Logout 1.0, 2.1) as the clients of one sector know a session.

    Others know it by another name, as they do with `sub`: no two ENTs can tell by comparing whose session it is, nor
    can one end it at another.
    """
    return opaque.keyed_value(salt, f"sid {sid}")


def releasable(client: Registration) -> frozenset[str]:
    """Return the claims of a person that a client may ever be told, however it asks: those of its registered scopes."""
    return _of_scopes(client.scopes | client.always_claims) - _withheld(client)


def scopes_told(client: Registration, scope: str, asked: str | None) -> frozenset[str]:
    """Return the scopes whose claims, some at least, a request with `scope` and claims request `asked` releases."""
    request = parameter.kept(asked)
    names = (request.userinfo.keys() | request.id_token.keys()) & releasable(client)
    return effective(client, scope) | {one for one, own in CLAIMS_BY_SCOPE.items() if not names.isdisjoint(own)}


def _withheld(client: Registration) -> frozenset[str]:
    """Return the claims that the client's scopes would release, and its registration does not."""
    return frozenset() if client.release_username else frozenset({USERNAME})


@lru_cache(maxsize=256)
def _of_scopes(scopes: frozenset[str]) -> frozenset[str]:
    return frozenset(name for scope, names in CLAIMS_BY_SCOPE.items() if scope in scopes for name in names)


def session_class(classes: Collection[str]) -> str | None:
    """Return the class that a session must have to satisfy one of `classes`; None when every session does."""
    return None if PASSWORD_CLASS in classes else PASSWORD_ON_KNOWN_DEVICE


def requests_id_token_claims(granted: Grant) -> bool:
    """Return whether the request asked for claims of the person in the ID token: they are read from the database."""
    return bool(granted.claims and parameter.kept(granted.claims).id_token)


def id_token(client: Registration, granted: Grant, holder: Holder | None = None) -> dict[str, Any]:
    """Return the claims of the ID token that say who signed in, how and when (Core 2), and the charter's status.

    `holder` is whom the access token stands for, when the request asked for more (Core 5.5).
    """
    claims: dict[str, Any] = {}
    if holder is not None:
        claims |= _asked(client, holder, parameter.kept(granted.claims).id_token)
    if "charter" in effective(client, granted.scope):
        claims |= _charter(granted)
    claims |= {
        "sub": subject(client, granted.account_id, granted.join_key),
        "auth_time": int(granted.auth_time.timestamp()),
        "acr": class_of(granted.acr, granted.claims),
        "amr": granted.amr,
        "sid": session_id(client.subject_salt, granted.sid),
        "azp": client.client_id,
    }
    if granted.nonce is not None:
        claims["nonce"] = granted.nonce
    return claims


def user_info(client: Registration, holder: Holder) -> dict[str, Any]:
    """Return what the token's scopes, its claims request and the client's registration release (Core 5.3)."""
    scopes = effective(client, holder.scope)
    claims: dict[str, Any] = {}
    for scope, group in _GROUPS.items():
        if scope in scopes:
            claims |= group(holder)
    if holder.claims:
        claims |= _asked(client, holder, parameter.kept(holder.claims).userinfo)
    claims["sub"] = subject(client, holder.account_id, holder.join_key)
    withheld = _withheld(client)
    return {name: value for name, value in claims.items() if value not in _UNKNOWN and name not in withheld}


def _asked(client: Registration, holder: Holder, asked: Asked) -> dict[str, Any]:
    """Return the claims that a request names (Core 5.5.1): what the registration allows, of the values that suit."""
    allowed = releasable(client) & asked.keys()
    known: dict[str, Any] = {}
    for scope, group in _GROUPS.items():
        if not allowed.isdisjoint(CLAIMS_BY_SCOPE[scope]):
            known |= group(holder)
    suiting = {name: known[name] for name in allowed if known.get(name) not in _UNKNOWN}
    return {name: value for name, value in suiting.items() if (values := asked[name]) is None or value in values}


def class_of(acr: str, asked: str | None) -> str:
    """Return `acr` (Core 2): of the classes that were asked for, the first that the sign-in satisfies, else its own."""
    satisfied = _SATISFIED[acr]
    wished = parameter.kept(asked).acr if asked else ()
    return next((value for value in wished if value in satisfied), satisfied[0])


def scope_left(client: Registration, scope: str) -> str:
    """Return what is left of a granted scope: the client may have lost some of it since (RFC 6749 5.1)."""
    return " ".join(one for one in scope.split() if one in client.scopes)


def effective(client: Registration, scope: str) -> frozenset[str]:
    """Return the scopes that count: those of the request that the client still has, and those it always gets."""
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
    """Return the confirmed address; one that waits for its link is nobody's business."""
    return {"email": holder.email, "email_verified": True} if holder.email else {}


def _address(holder: Holder) -> dict[str, Any]:
    """Return the address of the school's file (Core 5.1.1), each part of which an operator may have set otherwise."""
    of_file = {
        "street_address": "\n".join(holder.address_lines),
        "postal_code": holder.postcode,
        "locality": holder.city,
        "country": holder.country,
    }
    parts = {name: value for name, value in {**of_file, **holder.more_claims.get("address", {})}.items() if value}
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


def _charter(of: Grant | Holder) -> dict[str, Any]:
    """Return whether the charter that is current for this ENT was accepted, and when; without one, nothing is owed."""
    version, accepted_at = of.charter_version, of.charter_accepted_at
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


_GROUPS: dict[str, Callable[[Holder], dict[str, Any]]] = {
    "profile": _profile,
    "email": _email,
    "address": _address,
    "phone": _phone,
    "ent": _school,
    "charter": _charter,
}
"""How the claims of each scope are made."""
