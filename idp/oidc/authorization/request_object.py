"""Request objects (Core 6.1), which are not served: how the error that says so travels to the client."""

import base64
import re

from idp.oidc.authorization.responses import RESPONSE_MODES
from idp.oidc.keys import jose

_JWT = re.compile(r"[\w-]+\.([\w-]+)\.[\w-]*", re.ASCII)
"""A JWT whose claims can be read. Its signature is empty for the algorithm `none` (RFC 7519 6.1)."""


def response_mode(value: str) -> str:
    """Return the response mode that a request object asks for; empty if it asks for none that is served.

    Nothing else of the object is read: its signature is not checked, as the request is refused anyway. Both modes lead
    to the redirect URI of the request itself, which is registered, so a forged object gains nothing.
    """
    match = _JWT.fullmatch(value)
    if match is None:
        return ""
    try:
        payload = jose.json_object(base64.urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4)))
    except ValueError:
        return ""
    mode = payload.get("response_mode")
    return mode if isinstance(mode, str) and mode in RESPONSE_MODES else ""
