"""The authorization request that a person is answering: a signed, expiring value bound to one browser.

No row is written before a sign-in, so that a flood costs nothing. Tabs do not disturb each other: each carries its own
value in the URL as `demande`.
"""
