"""The protocol: OpenID Connect Core, Discovery, RP-Initiated Logout over OAuth 2.0 (RFC 6749, 6750, 7636, 9207, 9700).

One file per endpoint, each headed by its section. Only this package imports Authlib. `hot*.py` hold the statements of
the three requests of a sign-on (authorize with a session, token, userinfo), one statement each on PostgreSQL.
"""
