"""The `claims` parameter (OpenID Connect Core 5.5): read, reduced to what can be released, kept with code and tokens.

`acr_values` says the same of one claim, `acr`, as a wish (3.1.2.1): it is read here too. What is kept is JSON with the
members `userinfo` and `id_token`, each with the names that were asked for and, for each, the values that suit (null for
any); and `acr`, the classes that were asked for, the best first. Whether a claim of the person is essential decides
nothing: one that cannot be had is left out, and never an error (5.5.1). `sub` and `acr` do decide.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NoReturn

Asked = Mapping[str, list[Any] | None]
"""Names of claims, each with the values that suit; None for any."""

_DEEPEST = 8
"""How deep a value may be nested: what reads it again stands deeper in the stack than what reads it first."""
_LONGEST = 255
"""Characters that a `sub` may have (Core 2)."""


class ClaimsMalformed(Exception):  # noqa: N818 - what it is
    """The parameter is not what Core 5.5 says; the text says where."""


class AcrUnknown(Exception):  # noqa: N818 - what it is
    """An `acr` is essential whose classes this service does not know: no sign-in could satisfy it."""


@dataclass(frozen=True)
class ClaimsRequest:
    """What was asked for.

    Attributes:
        userinfo: claims of the person, for UserInfo.
        id_token: claims of the person, for the ID token.
        acr: the classes of authentication that were asked for and are known here, the best first.
        acr_is_essential: no code without one of them.
        subjects: the `sub`s that alone may be told of; empty for any.
    """

    userinfo: Asked = field(default_factory=dict)
    id_token: Asked = field(default_factory=dict)
    acr: tuple[str, ...] = ()
    acr_is_essential: bool = False
    subjects: frozenset[str] = frozenset()

    def kept(self) -> str | None:
        """Return what code and tokens carry on; None when it is nothing."""
        members = {"userinfo": self.userinfo, "id_token": self.id_token, "acr": self.acr}
        left = {name: member for name, member in members.items() if member}
        return json.dumps(left, separators=(",", ":")) if left else None


@lru_cache(maxsize=256)
def kept(text: str | None) -> ClaimsRequest:
    """Read again what a token carries."""
    members = json.loads(text) if text else {}
    return ClaimsRequest(
        userinfo=members.get("userinfo", {}),
        id_token=members.get("id_token", {}),
        acr=tuple(members.get("acr", ())),
    )


def read(text: str | None, acr_values: str, *, releasable: Collection[str], classes: Collection[str]) -> ClaimsRequest:
    """Read the parameters `claims` and `acr_values`.

    Args:
        text: `claims`, None when there is none.
        acr_values: `acr_values`; the claims request goes before it.
        releasable: the claims of the person that this client may be told; others are ignored.
        classes: the authentication classes that this service knows.

    Raises:
        ClaimsMalformed: it is not as Core 5.5 wants it.
        AcrUnknown: no sign-in here could satisfy it.
    """
    wished = tuple(value for value in dict.fromkeys(acr_values.split()) if value in classes)
    if text is None:
        return ClaimsRequest(acr=wished)
    try:
        request = _object(json.loads(text, parse_constant=_refuse_constant), "claims")
        if _is_deep(request, _DEEPEST):
            raise ClaimsMalformed("claims is nested too deep")
        userinfo, id_token = (_member(request, name) for name in ("userinfo", "id_token"))
        acr, essential = _acr(id_token.get("acr", {}), classes)
        return ClaimsRequest(
            userinfo={name: _values(asked) for name, asked in userinfo.items() if name in releasable},
            id_token={name: _values(asked) for name, asked in id_token.items() if name in releasable},
            acr=wished if acr is None else acr,
            acr_is_essential=essential,
            subjects=_subjects(userinfo.get("sub", {}), id_token.get("sub", {})),
        )
    except (ValueError, RecursionError):
        raise ClaimsMalformed("claims is not JSON") from None


def _is_deep(value: Any, left: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return left == 0 or any(_is_deep(one, left - 1) for one in inner)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity, which Python reads and JSON does not have


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ClaimsMalformed(f"{where} must be a JSON object")
    return value


def _member(request: dict[str, Any], member: str) -> dict[str, dict[str, Any]]:
    """Return the claims of a member, each as an object: null stands for one without any wish (5.5.1)."""
    claims = request.get(member)
    found = {}
    for name, asked in _object({} if claims is None else claims, f"claims: {member}").items():
        found[name] = wish = _object({} if asked is None else asked, f"claims: each claim of {member}")
        if not isinstance(wish.get("essential", False), bool):
            raise ClaimsMalformed("claims: essential must be true or false")
        if not isinstance(wish.get("values", []), list):
            raise ClaimsMalformed("claims: values must be an array")
    return found


def _values(asked: dict[str, Any]) -> list[Any] | None:
    """Return the values that suit, None for any; `value` and `values` together must both hold."""
    value = asked.get("value")
    if "values" not in asked:
        return None if value is None else [value]
    return [one for one in asked["values"] if value is None or one == value]


def _acr(asked: dict[str, Any], classes: Collection[str]) -> tuple[tuple[str, ...] | None, bool]:
    """Return the known classes that were asked for, None when none was named, and whether one of them is essential."""
    values = _values(asked)
    if values is None:
        return None, False
    known = tuple(value for value in values if value in classes)
    essential = bool(asked.get("essential"))
    if essential and not known:
        raise AcrUnknown
    return known, essential


def _may_be_subject(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= _LONGEST


def _subjects(*asked: dict[str, Any]) -> frozenset[str]:
    """Return whom the request insists on, wherever it says so: nobody else may be told of (5.5.1, 3.1.2.2)."""
    wanted: frozenset[str] | None = None
    for one in asked:
        values = _values(one)
        if values is None:
            continue
        if not all(_may_be_subject(value) for value in values):
            raise ClaimsMalformed("claims: sub must be text")
        wanted = frozenset(values) if wanted is None else wanted & frozenset(values)
    if wanted is not None and not wanted:
        raise ClaimsMalformed("claims: nobody can have that sub")
    return wanted or frozenset()
