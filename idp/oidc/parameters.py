"""Parses the parameters of requests (RFC 6749 3.1, 3.2): each at most once, and of limited length.

A parameter without a value is treated as absent. NUL is refused, because PostgreSQL cannot store it in a text.
"""

import re
from urllib.parse import quote_from_bytes, unquote_plus

from authlib.oauth2.rfc6749 import OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload

from idp.web.http import Request, Response, see_other

MAX_LENGTHS = {
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
_MAX_LENGTH = 10_000
_MAX_PARAMETERS = 50
_MAX_QUERY_LENGTH = 6000
# Characters of a query beside letters, digits and -._ (RFC 3986 3.4); `%` because the form is already encoded.
_QUERY = "!$&'()*+,;=:@/?%~"
_HARMLESS_NAME = re.compile(r"[a-z_]{1,40}", re.ASCII)


class ParameterError(Exception):
    """A parameter is repeated, too long, or not text; `problem` says which."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{problem} {name}")
        self.name = name
        self.problem = problem


def parse(encoded: str | bytes) -> dict[str, str]:
    """Return the parameters of a form or query string, without those that have no value.

    Raises:
        ParameterError: A parameter is repeated or too long, or the text is not UTF-8.
    """
    try:
        text = encoded.decode() if isinstance(encoded, bytes) else encoded
        parts = text.split("&")
        if len(parts) > _MAX_PARAMETERS:
            raise ParameterError("parameters", "unreadable")
        pairs = [[unquote_plus(side, errors="strict") for side in part.partition("=")[::2]] for part in parts if part]
    except ValueError as error:
        raise ParameterError("parameters", "unreadable") from error
    parameters: dict[str, str] = {}
    for name, value in pairs:
        if problem := _problem(parameters, name, value):
            raise ParameterError(name if _HARMLESS_NAME.fullmatch(name) else "parameter", problem)
        parameters[name] = value
    return {name: value for name, value in parameters.items() if value}


def _problem(parameters: dict[str, str], name: str, value: str) -> str:
    if name in parameters:
        return "doubled"
    if len(value) > MAX_LENGTHS.get(name, _MAX_LENGTH):
        return "too long"
    return "unreadable" if "\x00" in value else ""


class ParsedRequest(OAuth2Request):
    """A request for Authlib, with parameters that were parsed before.

    Its URL is a constant: Authlib only checks that it is https, which `idp.config` ensures for the issuer.
    """

    def __init__(self, http: Request, parameters: dict[str, str]) -> None:
        header = http.header("Authorization")
        super().__init__(http.method, "https://issuer.invalid/", headers={"Authorization": header} if header else {})
        self.payload = BasicOAuth2Payload(parameters)
        self._parameters = parameters

    @property
    def form(self) -> dict[str, str]:
        """The parameters, under another name that Authlib reads."""
        return self._parameters


def as_get(request: Request) -> Response | None:
    """Return a redirect from a POST to the same request by GET, or None if it is too long for a URL.

    A POST from another site has no `SameSite=Lax` cookies; the GET after the redirect has them.
    """
    query = quote_from_bytes(request.form, safe=_QUERY)
    if len(query) > _MAX_QUERY_LENGTH:
        return None
    return see_other(f"{request.path}?{query}" if query else request.path)
