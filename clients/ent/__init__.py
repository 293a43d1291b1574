"""A sample ENT: what a school site does to let the provider's parents in, and nothing of the provider's own code.

`clients.kit` makes the checks; here are the pages, the sessions and what is kept. It owns `/` (home), `/login`,
`/callback`, `/charte`, `/charte/refus`, `/notifications`, `/bienvenue`, `/logout`, `/backchannel-logout`,
`/accessibilite` and `/healthz`. It follows OpenID Connect Core 1.0 (3.1, 4, 5.3), Discovery 1.0,
RP-Initiated Logout 1.0, Back-Channel Logout 1.0, RFC 7636 (PKCE) and RFC 9207 (issuer of the answer).
`python -m clients.ent` runs it; see `clients/README.md`.
"""
