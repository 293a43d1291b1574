"""UAI, the number of a school: seven digits, and a control letter (the number modulo 23)."""

import re

NOT_A_UAI = "not a UAI (7 digits and their control letter)"
SCHOOL_OPTION_IS_WRONG = "L’UAI donné n’en est pas un : sept chiffres et la bonne lettre."
"""The same fault in the report of an import, which is in French."""

UAI_LENGTH = 8
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
_DIGITS = re.compile(r"[0-9]{7}")


def uai_of_number(number: int) -> str:
    """Return the UAI whose seven digits are `number`."""
    return f"{number:07d}{_LETTERS[number % len(_LETTERS)]}"


def is_uai(text: str) -> bool:
    """Return whether `text` is a UAI in its stored form, without spaces and in upper case."""
    digits = text[:-1]
    return _DIGITS.fullmatch(digits) is not None and text == uai_of_number(int(digits))


def normalised_uai(typed: str) -> str:
    """Return a typed UAI in its stored form. The result may be invalid."""
    return typed.strip().upper()


def typed_uai(typed: str) -> str:
    """Return a typed UAI in its stored form, or an empty string if it is none: no school has an empty one."""
    uai = normalised_uai(typed)
    return uai if is_uai(uai) else ""


def uai_fault(*texts: str) -> str:
    """Return a message that names the texts that are not a UAI, or an empty string."""
    wrong = [repr(text) for text in texts if not is_uai(text)]
    return f"{', '.join(wrong)}: {NOT_A_UAI}" if wrong else ""
