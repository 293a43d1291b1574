"""A school's number, the UAI: seven digits and the letter that their number gives modulo 23."""

import re

NOT_A_UAI = "not a UAI (7 digits and their control letter)"
SCHOOL_OPTION_IS_WRONG = "L’UAI donné avec --school n’en est pas un : sept chiffres et la bonne lettre."
"""The same fault in the list of problems of an import, which is in French."""

UAI_LENGTH = 8
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
_DIGITS = re.compile(r"[0-9]{7}")


def uai_of_number(number: int) -> str:
    """Return the UAI whose seven digits are `number`."""
    return f"{number:07d}{_LETTERS[number % len(_LETTERS)]}"


def is_uai(text: str) -> bool:
    """Return whether `text` is a UAI in its stored form: no space around it, its letter in upper case."""
    digits = text[:-1]
    return _DIGITS.fullmatch(digits) is not None and text == uai_of_number(int(digits))


def normalised_uai(typed: str) -> str:
    """Return a UAI that a person typed in its stored form; any other text stays wrong."""
    return typed.strip().upper()


def uai_fault(*texts: str) -> str:
    """Return the sentence that names each of `texts` which is not a UAI; empty if all are."""
    wrong = [repr(text) for text in texts if not is_uai(text)]
    return f"{', '.join(wrong)}: {NOT_A_UAI}" if wrong else ""
