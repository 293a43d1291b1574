"""The ENT's charter: the versions that an ENT publishes, and who accepted which, when and from which IP.

Owns `/charte` (shown by this service before the code, for clients registered so) and, for ENTs that show it themselves,
`GET /charter` and `POST /charter/acceptance` (Bearer token of RFC 6750 with scope `charter`).
"""
