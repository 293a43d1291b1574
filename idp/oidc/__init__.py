"""The protocol: OpenID Connect Core, Discovery, RP-Initiated Logout over OAuth 2.0 (RFC 6749, 6750, 7636, 9207, 9700).

Each endpoint has a module, headed by its section. Only this package imports Authlib. `store` holds the statements of a
sign-on (authorize with a session, token, UserInfo), one each.
"""
