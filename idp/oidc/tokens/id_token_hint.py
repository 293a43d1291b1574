"""Reads ID tokens that come back as hints (Core 3.1.2.1, RP-Initiated Logout 2)."""

from typing import Any

from idp.config import Settings
from idp.oidc.keys import jose
from idp.oidc.keys.ring import KeyRing


def read_id_token(settings: Settings, ring: KeyRing, token: str) -> dict[str, Any] | None:
    """Return the claims of an ID token that this service signed, also of an expired one; None for anything else.

    The algorithm must be one of ours, and the key one that we publish for it under that `kid`. Other header parameters
    are refused (RFC 8725 3.1, 3.2).
    """
    try:
        head, claims = jose.parts(token)
        if head.keys() != {"alg", "kid", "typ"} or head["typ"] != "JWT":  # a logout token is signed alike
            return None
        alg, kid = jose.algorithm(head), head["kid"]
        if not isinstance(kid, str):
            return None
        jose.check_signature(token, alg, ring.published(kid))
    except jose.InvalidTokenError:
        return None
    if claims.get("iss") != settings.issuer:
        return None
    return claims if isinstance(claims.get("sub"), str) and isinstance(claims.get("sid"), str) else None
