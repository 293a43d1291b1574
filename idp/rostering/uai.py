"""A school's number, the UAI: seven digits and a letter that proves them."""

import re

_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
_FORM = re.compile(r"[0-9]{7}[A-Z]")


def is_uai(text: str) -> bool:
    """Say whether `text` is a UAI whose control letter is right. Spaces and small letters are not forgiven."""
    return _FORM.fullmatch(text) is not None and text[7] == _LETTERS[int(text[:7]) % len(_LETTERS)]
