"""Provisional passwords: 12 random characters of Crockford's base32, which is 60 bits.

The alphabet has no I, L and O, which look like 1 and 0 on paper, and no U, so that no rude word appears.
"""

import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 12
GROUP = 4


def draw() -> str:
    """Return a new provisional password, in upper case, without separators."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def show(secret: str) -> str:
    """Return `secret` in groups of four: « XXXX-XXXX-XXXX »."""
    return "-".join(secret[start : start + GROUP] for start in range(0, len(secret), GROUP))
