"""Makes identifiers: an initial, a dot, the family name and a random number; an identifier never changes.

`n.leroy4821` can be read out by telephone and typed on a phone. The number is random so that it does not tell how many
people have the name. A name without Latin letters becomes `parent`. An identifier has no `@`, so that it does not look
like an email.
"""

import secrets

from idp.folding import fold

_LONGEST_NAME = 20
_DIGITS = (4, 4, 4, 5, 6, 8)
"""How many digits each attempt draws: frequent names get longer numbers."""
ATTEMPTS = range(len(_DIGITS))
_PARTICLES = frozenset(("d", "da", "de", "del", "des", "di", "do", "dos", "du", "el", "la", "le", "les", "van", "von"))
_PARTICLES_OF = frozenset(("den", "der", "ter", "ben", "bin", "al", "o", "san", "st"))


def base(given_name: str, family_name: str) -> str:
    """Return the beginning of the identifier: « Noémie LEROY-VANDEPUTTE » gives `n.leroy`."""
    name = _first_name_of(family_name)
    initial = _letters(given_name)[:1]
    if not name:
        return "parent"
    return f"{initial}.{name}" if initial else name


def drawn(begun: str, attempt: int) -> str:
    """Return an identifier that begins with `begun`; a later attempt draws from more numbers."""
    least = int("1" + "0" * (_DIGITS[attempt] - 1))
    return f"{begun}{least + secrets.randbelow(9 * least)}"


def _first_name_of(family_name: str) -> str:
    words = [word for word in (_letters(part) for part in _parts(family_name)) if word]
    held = ""
    for word in words:
        held += word
        if word not in _PARTICLES | _PARTICLES_OF:
            break
    return held[:_LONGEST_NAME]


def _parts(name: str) -> list[str]:
    return "".join(" " if char in "-'’ \t\u00a0" else char for char in fold(name)).split()


def _letters(text: str) -> str:
    return "".join(char for char in fold(text) if "a" <= char <= "z")
