"""Signing keys: material, rotation, publication, and the JWTs that arrive signed (RFC 7515 to 7519)."""
