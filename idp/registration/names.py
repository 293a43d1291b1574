"""Names of ENTs as parents read them: quickly, on a small screen, and without knowing which look alike."""

import re
import string

from idp.folding import fold

_FRENCH = frozenset(string.ascii_lowercase + string.digits)
"""What `fold` leaves of French, whose accents it takes away and whose ligatures it spells out."""
_ALIKE = str.maketrans("ij1058", "lllosb")
_PAIRS = (("rn", "m"), ("vv", "w"))
_WORD = re.compile(r"[^\W_]+")
_GENERAL = frozenset(["ent", "academie", "d", "de", "des", "du", "et", "l", "la", "le", "les"])
"""Words that tell no ENT from another."""
_LONG = 4


def as_read(name: str) -> str | None:
    """Return what two names have in common that are taken for one another; None with letters that French has not.

    Those are refused by the caller: for each of ours other alphabets have some that nobody can tell from it (Unicode
    Technical Standard 39 counts six thousand).
    """
    letters = [letter for letter in fold(name) if letter.isalnum()]
    if not _FRENCH.issuperset(letters):
        return None
    read = "".join(letters).translate(_ALIKE)
    for pair, one in _PAIRS:
        read = read.replace(pair, one)
    return read


def holds(name: str, other: str) -> bool:
    """Return if `name` holds all that is particular in the name `other`: « Passerelle (ENT) » holds « Passerelle ».

    What is particular may stand within a word (« MaPasserelle »), unless it is short.
    """
    words, particular = _particular(name), "".join(_particular(other))
    read = as_read(particular)
    if not read:
        return False
    if len(read) < _LONG:
        return read in map(as_read, words)
    return read in (as_read("".join(words)) or "")


def _particular(name: str) -> list[str]:
    return [word for word in _WORD.findall(fold(name)) if word not in _GENERAL]
