"""Reading of the claims about a parent. The claims are untrusted input: no function here assumes their types."""

import json
from collections.abc import Mapping
from typing import Any

_SHOWN_FIRST = (
    "sub", "name", "given_name", "family_name", "preferred_username", "email", "email_verified",
    "ENTPersonProfils", "ENTPersonJointure", "FrEduVecteur", "uai", "children",
    "charter_accepted", "charter_version", "charter_accepted_at",
)  # fmt: skip
_PROOFS = {"at_hash", "nonce"}
"""Claims that secure the response and do not describe the person."""


def display_name(claims: dict[str, Any]) -> str:
    """Return `name`, else given and family name, else `preferred_username`; may be empty."""
    parts = [_text(claims.get(part)) for part in ("given_name", "family_name")]
    return (
        _text(claims.get("name")) or " ".join(part for part in parts if part) or _text(claims.get("preferred_username"))
    )


def first_name(claims: dict[str, Any]) -> str:
    """Return the given name, or the display name if there is none; may be empty."""
    return _text(claims.get("given_name")) or display_name(claims)


def verified_email(claims: dict[str, Any]) -> str:
    """Return the email that the provider confirmed, or an empty text. An unconfirmed email may belong to others."""
    return _text(claims.get("email")) if claims.get("email_verified") is True else ""


def children(claims: dict[str, Any], schools: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the children: `name`, and `place` (class and school), which may be empty. Invalid entries are left out.

    A school without a name in `schools` is shown by its UAI.
    """
    value = claims.get("children")
    shown = []
    for child in value if isinstance(value, list) else []:
        if not isinstance(child, dict):
            continue
        name = " ".join(part for part in (_text(child.get("given_name")), _text(child.get("family_name"))) if part)
        uai = _text(child.get("uai"))
        place = ", ".join(part for part in (_text(child.get("class")), schools.get(uai, uai)) if part)
        if name:
            shown.append({"name": name, "place": place})
    return shown


def table(claims: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Return each claim's name with its values as lines of text: claims about the person first."""
    names = [name for name in _SHOWN_FIRST if name in claims] + sorted(claims.keys() - set(_SHOWN_FIRST) - _PROOFS)
    return [(name, _lines(claims[name])) for name in names]


def _lines(value: object) -> list[str]:
    """Return a claim's value as lines of text, one for each member of a list."""
    members = value if isinstance(value, list) else [value]
    return [member if isinstance(member, str) else json.dumps(member, ensure_ascii=False) for member in members]


def _text(value: object) -> str:
    """Return the stripped text, or an empty text for a value of another type."""
    return value.strip() if isinstance(value, str) else ""
