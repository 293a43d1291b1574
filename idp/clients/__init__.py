"""The registered clients (ENTs): their tables, what requests read of them, and whom each one may know.

The layer is below the slices, whose pages name the ENT and lead back to it. What the protocol does with a client is in
`idp.oidc`, and how a client is registered in `idp.registration`.
"""
