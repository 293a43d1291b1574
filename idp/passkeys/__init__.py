"""Passkeys (WebAuthn Level 3): the ceremonies of parents and of the desk's people, and the keys of parents."""
