"""The ENTs that may ask: their registration, and what pages may know of them.

Below the slices, which name the ENT and lead back to it; what the protocol makes of a client is in `idp.oidc`.
"""
