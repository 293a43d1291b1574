"""Parses the parameters `claims` (OpenID Connect Core 5.5) and `acr_values` (3.1.2.1) of an authorization request.

The claims request is reduced to claims that can be released, and stored with code and tokens as JSON. Its members are
`userinfo` and `id_token`, which map each requested name to the accepted values (null for any), and `acr`, a list of the
requested classes in order of preference.

An essential claim of the person that cannot be released is left out, and never an error (5.5.1). Only an essential
`acr`, or a `sub`, can refuse the request.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NoReturn

RequestedClaims = Mapping[str, list[Any] | None]  # names of claims, each with the accepted values; None for any

# Levels of nesting, far below Python's recursion limit: the stored text is parsed again deeper in the stack.
_MAX_DEPTH = 8
_MAX_SUB_LENGTH = 255  # in characters (Core 2)


class ClaimsRequestError(Exception):
    """The parameter `claims` is malformed (Core 5.5); the text says where."""


class UnknownAcrError(Exception):
    """The service knows no class of an essential `acr`, so that no sign-in could satisfy it."""


@dataclass(frozen=True)
class ClaimsRequest:
    """The requested claims of the person, for UserInfo and for the ID token.

    `acr` are the requested classes that the service knows, in order of preference; if they are essential, no code is
    issued unless the sign-in satisfies one. `subjects` are the only accepted values of `sub`; empty for any.
    """

    userinfo: RequestedClaims = field(default_factory=dict)
    id_token: RequestedClaims = field(default_factory=dict)
    acr: tuple[str, ...] = ()
    acr_is_essential: bool = False
    subjects: frozenset[str] = frozenset()

    def serialize(self) -> str | None:
        """Return the text that is stored with code and tokens; None for an empty request."""
        members = {"userinfo": self.userinfo, "id_token": self.id_token, "acr": self.acr}
        present = {name: member for name, member in members.items() if member}
        return json.dumps(present, separators=(",", ":")) if present else None


@lru_cache(maxsize=256)
def deserialize(text: str | None) -> ClaimsRequest:
    """Return the claims request that `ClaimsRequest.serialize` wrote."""
    members = json.loads(text) if text else {}
    return ClaimsRequest(
        userinfo=members.get("userinfo", {}),
        id_token=members.get("id_token", {}),
        acr=tuple(members.get("acr", ())),
    )


def read(text: str | None, acr_values: str, *, releasable: Collection[str], classes: Collection[str]) -> ClaimsRequest:
    """Read the parameters `claims` and `acr_values`.

    Args:
        text: The parameter `claims`, None if it is absent.
        acr_values: The parameter `acr_values`; `acr` in the claims request takes precedence.
        releasable: The claims of the person that the client may receive; others are ignored.
        classes: The authentication classes that the service knows.

    Raises:
        ClaimsRequestError: `claims` is malformed.
        UnknownAcrError: The service knows no class of an essential `acr`.
    """
    voluntary_acr = tuple(value for value in dict.fromkeys(acr_values.split()) if value in classes)
    if text is None:
        return ClaimsRequest(acr=voluntary_acr)
    try:
        request = _object(json.loads(text, parse_constant=_refuse_constant), "claims")
        if _is_deeper(request, _MAX_DEPTH):
            raise ClaimsRequestError("claims is nested too deep")
        userinfo, id_token = (_member(request, name) for name in ("userinfo", "id_token"))
        acr, essential = _acr(id_token.get("acr", {}), classes)
        return ClaimsRequest(
            userinfo={name: _values(claim) for name, claim in userinfo.items() if name in releasable},
            id_token={name: _values(claim) for name, claim in id_token.items() if name in releasable},
            acr=voluntary_acr if acr is None else acr,
            acr_is_essential=essential,
            subjects=_subjects(userinfo.get("sub", {}), id_token.get("sub", {})),
        )
    except (ValueError, RecursionError):
        raise ClaimsRequestError("claims is not JSON") from None


def _is_deeper(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels == 0 or any(_is_deeper(member, levels - 1) for member in inner)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # json.loads accepts NaN and Infinity, which are not JSON


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ClaimsRequestError(f"{where} must be a JSON object")
    return value


def _member(request: dict[str, Any], member: str) -> dict[str, dict[str, Any]]:
    """Return the claims of a member, each as an object; null becomes an empty object (5.5.1)."""
    claims = request.get(member)
    checked = {}
    for name, value in _object({} if claims is None else claims, f"claims: {member}").items():
        checked[name] = claim = _object({} if value is None else value, f"claims: each claim of {member}")
        if not isinstance(claim.get("essential", False), bool):
            raise ClaimsRequestError("claims: essential must be true or false")
        if not isinstance(claim.get("values", []), list):
            raise ClaimsRequestError("claims: values must be an array")
    return checked


def _values(claim: dict[str, Any]) -> list[Any] | None:
    """Return the accepted values, None for any. If both `value` and `values` are present, both must accept a value."""
    value = claim.get("value")
    if "values" not in claim:
        return None if value is None else [value]
    return [accepted for accepted in claim["values"] if value is None or accepted == value]


def _acr(claim: dict[str, Any], classes: Collection[str]) -> tuple[tuple[str, ...] | None, bool]:
    """Return the known ones of the requested classes (None if none was requested), and whether they are essential."""
    values = _values(claim)
    if values is None:
        return None, False
    known = tuple(value for value in values if value in classes)
    essential = bool(claim.get("essential"))
    if essential and not known:
        raise UnknownAcrError
    return known, essential


def _may_be_subject(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= _MAX_SUB_LENGTH


def _subjects(*claims: dict[str, Any]) -> frozenset[str]:
    """Return the values of `sub` that all of the claims accept; empty for any (5.5.1, 3.1.2.2)."""
    accepted: frozenset[str] | None = None
    for claim in claims:
        values = _values(claim)
        if values is None:
            continue
        if not all(_may_be_subject(value) for value in values):
            raise ClaimsRequestError("claims: sub must be text")
        accepted = frozenset(values) if accepted is None else accepted & frozenset(values)
    if accepted is not None and not accepted:
        raise ClaimsRequestError("claims: no sub meets all conditions")
    return accepted or frozenset()
