"""Single sign-on sessions: one row each, named by the cookie's digest.

Owns the `ss` cookie. Only an account's own password opens a session, never a provisional one or a link. Only the server
ends a session.
"""
