"""Reads the response mode of a request object (Core 6.1), to send the error that request objects are not supported."""

import base64
import re

from idp.oidc.authorization.responses import RESPONSE_MODES
from idp.oidc.keys import jose

_JWT = re.compile(r"[\w-]+\.([\w-]+)\.[\w-]*", re.ASCII)
"""A JWT whose claims can be read. Its signature is empty for the algorithm `none` (RFC 7519 6.1)."""


def response_mode(value: str) -> str:
    """Return the response mode in a request object; empty if there is none, or none that is supported.

    The signature is not checked, because the request is refused anyway. The error goes to the registered redirect URI
    of the request in both modes, so a forged object gains nothing.
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
