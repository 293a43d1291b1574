"""What all peers have in common: their people, and the client that uses them."""

import secrets

from bench.driver.provider import Client, Person, Provider

COUNT = 128
"""People of node-oidc-provider, which keeps a thousand values in memory: more sessions would evict each other."""
PASSWORD = "tasse vélo nuage citron"  # noqa: S105 - of all invented people
_REDIRECT_URI = "http://127.0.0.1:9/callback"
_SCOPE = "openid profile email offline_access"


def provider(name: str, port: int, username_field: str, scope: str = _SCOPE) -> Provider:
    """Return a peer with a new client and people without sessions."""
    return Provider(
        name=name,
        port=port,
        client=Client("bench", secrets.token_hex(32), _REDIRECT_URI, scope),
        username_field=username_field,
        password_field="password",  # noqa: S106 - the name of a field
        password=PASSWORD,
        people=[Person(f"person{number:04d}") for number in range(COUNT)],
    )
