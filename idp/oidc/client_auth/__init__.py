"""Client authentication: secrets, `private_key_jwt`, DPoP proofs and the keys of clients."""
