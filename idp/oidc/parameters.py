"""Reading parameters (RFC 6749 3.1, 3.2): each at most once, of a sane size, from where the endpoint says.

A parameter without a value counts as left out; NUL, which no database keeps in a text, counts as unreadable.
"""

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote_from_bytes

from authlib.oauth2.rfc6749 import OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from flask import Request, Response, request

from idp.web.redirects import see_other

LONGEST = {
    "state": 4096,
    "nonce": 600,
    "redirect_uri": 500,
    "client_id": 100,
    "response_type": 100,
    "acr_values": 500,
    "login_hint": 300,
    "id_token_hint": 6000,
    "claims": 3000,
    "code_challenge": 128,
    "code": 200,
    "refresh_token": 200,
}
_LONGEST = 10_000
_MOST = 50
_FORM = "application/x-www-form-urlencoded"
_LONGEST_QUERY = 6000
_QUERY = "!$&'()*+,;=:@/?%~"
"""What a query may hold besides letters, digits and -._ (RFC 3986 3.4); `%` since the form is encoded already."""
_SHOWN = re.compile(r"[a-z_]{1,40}", re.ASCII)


class ParameterError(Exception):
    """A parameter is doubled, too long, or not text. `name` says which."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{problem} {name}")
        self.name = name
        self.problem = problem


def parse(encoded: str | bytes) -> dict[str, str]:
    """Decode a form or query string into parameters that each stand once; those without a value are left out.

    Raises:
        ParameterError: one stands twice or is too long, or the text is not UTF-8.
    """
    try:
        text = encoded.decode() if isinstance(encoded, bytes) else encoded
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST, errors="strict")
    except ValueError as error:
        raise ParameterError("parameters", "unreadable") from error
    return {name: value for name, value in _unique(pairs).items() if value}


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        shown = name if _SHOWN.fullmatch(name) else "parameter"
        if name in found:
            raise ParameterError(shown, "doubled")
        if len(value) > LONGEST.get(name, _LONGEST):
            raise ParameterError(shown, "too long")
        if "\x00" in value:
            raise ParameterError(shown, "unreadable")
        found[name] = value
    return found


class ParsedRequest(OAuth2Request):
    """Authlib's request over parameters that were parsed once. Its address is a constant: no header changes it.

    Authlib reads no more of the address than that it is secure, which `idp.config` has settled for the issuer.
    """

    def __init__(self, http: Request, parameters: dict[str, str]) -> None:
        shown = http.headers.get("Authorization")
        super().__init__(http.method, "https://issuer.invalid/", headers={"Authorization": shown} if shown else {})
        self.payload = BasicOAuth2Payload(parameters)
        self._parameters = parameters

    @property
    def args(self) -> dict[str, str | None]:
        """The parameters, for those parts of Authlib that read them by this name."""
        return dict(self._parameters)

    @property
    def form(self) -> dict[str, str]:
        """The same."""
        return self._parameters


def posted() -> bytes:
    """Return the form that this request posts, still encoded; nothing for a body of another kind."""
    return request.get_data() if request.mimetype == _FORM else b""


def as_get(encoded: bytes) -> Response | None:
    """Ask the same by GET: a POST from another site comes without `SameSite=Lax` cookies, the GET brings them.

    None when it is too long for an address.
    """
    query = quote_from_bytes(encoded, safe=_QUERY)
    return see_other(f"{request.path}?{query}") if len(query) <= _LONGEST_QUERY else None
