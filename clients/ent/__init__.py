"""A sample ENT: a school site where parents sign in at the provider. It imports none of the provider's code.

`clients.kit` makes the checks; this package holds the pages, the sessions and the store. Routes: `/` (home), `/login`,
`/callback`, `/charte`, `/charte/refus`, `/notifications`, `/bienvenue`, `/logout`, `/backchannel-logout`,
`/accessibilite` and `/healthz`. Specifications: OpenID Connect Core 1.0 (3.1, 4, 5.3), Discovery 1.0,
RP-Initiated Logout 1.0, Back-Channel Logout 1.0, RFC 7636 (PKCE) and RFC 9207 (issuer of the response).
`python -m clients.ent` runs the ENT; see `clients/README.md`.
"""
