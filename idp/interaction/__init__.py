"""The authorization request that a person is in the middle of: a signed, expiring value bound to one browser.

No row is written before a sign-in (a flood costs nothing), and tabs do not disturb each other: each carries its own
value in the address as `demande`.
"""
