"""What must leave the building: written in the caller's transaction, handed over by `idp worker` after the commit.

Owns the table, the claim with its lease, and the back-off. What a message means is its handler's affair
(`idp.app` registers them).
"""
