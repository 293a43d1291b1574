"""Single sign-on sessions: one row each, the cookie's digest as its name, ended by the server alone.

Owns the `ss` cookie. Sessions are opened by a password of the account's own, never by a provisional one or by a link.
"""
