"""Validates the standard claims that an operator may set, because no school file has them (OpenID Connect Core 5.1).

Names and identifiers come from the school, the email from the person, and claims such as `iss`, `sub` and `exp` from
the protocol: an operator cannot set them (security row T-19).
"""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import date
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from idp.clock import now

ADDRESS_MEMBERS = ("formatted", "street_address", "locality", "region", "postal_code", "country")
"""Members of `address` (5.1.1), named `address.locality` and so on. A member that is not set has the file's value."""

_NUMBER, _VERIFIED = "phone_number", "phone_number_verified"
_LONGEST_TEXT, _LONGEST_WORD, _LONGEST_URL = 200, 40, 500
_DATE = re.compile(r"([0-9]{4})(?:-([0-9]{2})-([0-9]{2}))?", re.ASCII)
_FIRST_YEAR, _LEAP_YEAR = 1850, 2000
_E164 = re.compile(r"\+[1-9][0-9]{3,14}(;ext=[0-9]{1,11})?", re.ASCII)
_TYPED_BETWEEN_DIGITS = str.maketrans("", "", " .()-\u00a0\u202f")


class ClaimError(Exception):
    """A claim cannot be set, or not to this value; the text is the sentence to show."""


def with_changes(claims: Mapping[str, Any], values: Mapping[str, str], removed: Collection[str]) -> dict[str, Any]:
    """Return `claims` (see `Account.more_claims`) with `values` set and the claims in `removed` removed.

    A changed telephone number is unverified, unless `values` says otherwise.

    Raises:
        ClaimError: A claim cannot be set, or a value does not conform to the specification.
    """
    result = {**claims, "address": dict(claims.get("address", {}))}
    for name in removed:
        _remove(result, name)
    for name, text in values.items():
        value = _check(name, text)
        claim, _, member = name.partition(".")
        if member:
            result[claim][member] = value
        else:
            result[claim] = value
    if result.get(_NUMBER) != claims.get(_NUMBER) and _VERIFIED not in values:
        result.pop(_VERIFIED, None)
    if _VERIFIED in result and _NUMBER not in result:
        raise ClaimError(f"{_VERIFIED} needs {_NUMBER}")
    return {name: value for name, value in result.items() if value != {}}


def _remove(claims: dict[str, Any], name: str) -> None:
    claim, _, member = name.partition(".")
    if name == "address":
        claims["address"] = {}
    elif name not in _VALIDATORS:
        raise _unknown(name)
    elif member:
        claims[claim].pop(member, None)
    else:
        claims.pop(name, None)
        if name == _NUMBER:
            claims.pop(_VERIFIED, None)


def _check(name: str, text: str) -> str | bool:
    validate = _VALIDATORS.get(name)
    if validate is None:
        raise _unknown(name)
    try:
        return validate(text)
    except ValueError as error:
        raise ClaimError(f"{name}: {error}") from error


def _unknown(name: str) -> ClaimError:
    return ClaimError(f"{name} cannot be set: only {', '.join(_VALIDATORS)}")


def _within(text: str, longest: int, *, lines: bool = False) -> str:
    shown = text.replace("\n", "") if lines else text
    if not 0 < len(text) <= longest or not text.strip() or not shown.isprintable():
        raise ValueError(f"must be 1 to {longest} printable characters")
    return text.strip()


def _url(text: str) -> str:
    if len(text) > _LONGEST_URL or not _is_https(text):
        raise ValueError(f"must be https://host/…, ASCII, {_LONGEST_URL} characters at most")
    return text


def _is_https(text: str) -> bool:
    if not (text.isascii() and text.isprintable()) or set(text) & set(' "<>\\^`{|}'):
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:  # an unmatched bracket, or a port that is not a number
        return False


def _birthdate(text: str) -> str:
    """Return a date `YYYY-MM-DD`, `0000-MM-DD` (year withheld) or `YYYY`."""
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError("must be YYYY-MM-DD, 0000-MM-DD or YYYY")
    year, month, day = int(match[1]), int(match[2] or 1), int(match[3] or 1)
    without_year = year == 0 and match[2] is not None
    try:
        born = date(_LEAP_YEAR if without_year else year, month, day)
    except ValueError:
        raise ValueError("must be a day of the calendar") from None
    if not without_year and not date(_FIRST_YEAR, 1, 1) <= born <= now().date():
        raise ValueError(f"must be between {_FIRST_YEAR} and today")
    return text


def _zoneinfo(text: str) -> str:
    if text not in available_timezones():
        raise ValueError("must be a time zone of the IANA database, such as Europe/Paris")
    return text


def _phone_number(text: str) -> str:
    number = text.translate(_TYPED_BETWEEN_DIGITS)
    if not _E164.fullmatch(number):
        raise ValueError("must be an international number (E.164), such as +33 1 99 00 12 34")
    return number


def _boolean(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError("must be true or false")
    return text == "true"


_text = partial(_within, longest=_LONGEST_TEXT)
# The claims that may be set, each with its validator, which raises `ValueError` with the end of a sentence.
_VALIDATORS: dict[str, Callable[[str], str | bool]] = {
    "middle_name": _text,
    "nickname": _text,
    "profile": _url,
    "picture": _url,
    "website": _url,
    "gender": partial(_within, longest=_LONGEST_WORD),
    "birthdate": _birthdate,
    "zoneinfo": _zoneinfo,
    _NUMBER: _phone_number,
    _VERIFIED: _boolean,
    **{
        f"address.{member}": partial(_text, lines=True) if member in {"formatted", "street_address"} else _text
        for member in ADDRESS_MEMBERS
    },
}
