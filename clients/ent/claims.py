"""What the ENT reads in the claims about a parent. They come from outside: nothing here assumes their shape."""

import json
from typing import Any

_FIRST = (
    "sub", "name", "given_name", "family_name", "preferred_username", "email", "email_verified",
    "ENTPersonProfils", "ENTPersonJointure", "FrEduVecteur", "uai", "children",
    "charter_accepted", "charter_version", "charter_accepted_at",
)  # fmt: skip
_PROOFS = {"at_hash", "nonce"}
"""Claims that prove something about the answer and say nothing about the person."""


def display_name(claims: dict[str, Any]) -> str:
    """Return the person's name as the school writes it, or the nearest thing to it; may be empty."""
    parts = [_text(claims.get(part)) for part in ("given_name", "family_name")]
    return (
        _text(claims.get("name")) or " ".join(part for part in parts if part) or _text(claims.get("preferred_username"))
    )


def first_name(claims: dict[str, Any]) -> str:
    """Return what to call the person in a sentence; may be empty."""
    return _text(claims.get("given_name")) or display_name(claims)


def verified_address(claims: dict[str, Any]) -> str:
    """Return the mail address that the provider confirmed; an unconfirmed one may be somebody else's."""
    return _text(claims.get("email")) if claims.get("email_verified") is True else ""


def children(claims: dict[str, Any]) -> list[dict[str, str]]:
    """Return the children to show: `name`, and `place` (class and school) which may be empty."""
    given = claims.get("children")
    shown = []
    for child in given if isinstance(given, list) else []:
        if not isinstance(child, dict):
            continue
        name = " ".join(part for part in (_text(child.get("given_name")), _text(child.get("family_name"))) if part)
        place = ", ".join(part for part in (_text(child.get("class")), _text(child.get("uai"))) if part)
        if name:
            shown.append({"name": name, "place": place})
    return shown


def table(claims: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Return each claim's name with its values as lines of text, the ENT's own claims before the protocol's."""
    names = [name for name in _FIRST if name in claims] + sorted(claims.keys() - set(_FIRST) - _PROOFS)
    return [(name, _lines(claims[name])) for name in names]


def _lines(value: object) -> list[str]:
    """Return a claim's value as it was received, one line for each member of a list."""
    members = value if isinstance(value, list) else [value]
    return [member if isinstance(member, str) else json.dumps(member, ensure_ascii=False) for member in members]


def _text(value: object) -> str:
    """Return a text without the blanks around it; anything else is no text."""
    return value.strip() if isinstance(value, str) else ""
