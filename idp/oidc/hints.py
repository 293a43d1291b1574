"""ID tokens that come back as hints (Core 3.1.2.1, RP-Initiated Logout 2): the one place that reads a JWT."""

import json
import re
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError

from idp.config import Settings
from idp.oidc.keys import ALGORITHMS, KeyRing

_LONGEST = 6000
_COMPACT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


def read_id_token(settings: Settings, ring: KeyRing, token: str) -> dict[str, Any] | None:
    """Return the claims of an ID token that this service signed, expired or not; None for anything else.

    The algorithm is one of ours and the key one that we publish, found by `kid`: whatever a header says beyond that is
    not followed (RFC 8725 3.1, 3.2).
    """
    if len(token) > _LONGEST or not _COMPACT.fullmatch(token):
        return None
    try:
        content = jws.deserialize_compact(
            token.encode(), lambda read: ring.published(read.headers()["kid"]), algorithms=list(ALGORITHMS)
        )
        headers = content.headers()
        if headers.keys() != {"alg", "kid", "typ"} or headers["typ"] != "JWT":  # a logout token is signed alike
            return None
        claims = json.loads(content.payload)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        return None
    if not isinstance(claims, dict) or claims.get("iss") != settings.issuer:
        return None
    return claims if isinstance(claims.get("sub"), str) and isinstance(claims.get("sid"), str) else None
