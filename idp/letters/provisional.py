"""Provisional passwords: 12 characters of Crockford's base32, which is 60 bits, drawn evenly.

The alphabet leaves out I, L and O, that paper confuses with 1 and 0, and U, that would let words appear.
"""

import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 12
GROUP = 4


def draw() -> str:
    """Return a new provisional password, in capitals and without separators, each letter as likely as any other."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def show(secret: str) -> str:
    """Return `secret` as people read it, in groups of four: « XXXX-XXXX-XXXX »."""
    return "-".join(secret[start : start + GROUP] for start in range(0, len(secret), GROUP))
