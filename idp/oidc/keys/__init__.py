"""Signing keys: material, rotation, publication; and the verification of signed JWTs (RFC 7515 to 7519)."""
