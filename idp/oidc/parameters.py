"""Reading parameters (RFC 6749 3.1, 3.2): each at most once, of a sane size, from where the endpoint says and nowhere else."""

from collections.abc import Iterable
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749 import OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from flask import Request

LONGEST = {
    "state": 4096,
    "nonce": 600,
    "redirect_uri": 500,
    "scope": 1000,
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
_MOST = 50


class ParameterError(Exception):
    """A parameter is doubled, too long, or not text. `name` says which."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{problem} {name}")
        self.name = name
        self.problem = problem


def parse(encoded: str | bytes) -> dict[str, str]:
    """Decode a form or query string into parameters that each stand once.

    Raises:
        ParameterError: one stands twice or is too long, or the text is not UTF-8.
    """
    text = encoded.decode("latin-1") if isinstance(encoded, bytes) else encoded
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST, errors="strict")
    except ValueError as error:
        raise ParameterError("parameters", "unreadable") from error
    return _unique(pairs)


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise ParameterError(name if name.isascii() and name.isidentifier() else "parameter", "doubled")
        if len(value) > LONGEST.get(name, 10_000):
            raise ParameterError(name, "too long")
        found[name] = value
    return found


class ParsedRequest(OAuth2Request):
    """Authlib's request over parameters that were parsed once, under our own address: no header of the request changes it."""

    def __init__(self, http: Request, uri: str, parameters: dict[str, str]) -> None:
        super().__init__(http.method, uri, headers=http.headers)
        self.payload = BasicOAuth2Payload(parameters)
        self._parameters = parameters

    @property
    def args(self) -> dict[str, str]:
        """The parameters, for those parts of Authlib that read them by this name."""
        return self._parameters

    @property
    def form(self) -> dict[str, str]:
        """The same."""
        return self._parameters
