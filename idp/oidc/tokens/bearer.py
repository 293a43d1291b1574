"""Reads the access token of a request (RFC 6750): from the header or the body of a POST, never from the query.

A token that is bound to a key needs the scheme `DPoP` and a proof of that key (RFC 9449 7). Any other token needs the
scheme `Bearer`.
"""

from idp import opaque
from idp.charter.api import Bearer
from idp.clients import registry
from idp.clients.models import CharterMode
from idp.clients.registry import Registration
from idp.clock import now
from idp.oidc.claims import release
from idp.oidc.client_auth import dpop
from idp.oidc.keys import jose
from idp.oidc.parameters import ParameterError, parse
from idp.oidc.store.contract import Holder
from idp.services import services
from idp.web.http import Request, Response, json_response

_TOKEN_LENGTH = 43
_BEARER, _DPOP = 'Bearer realm="idp"', "DPoP"
_ALGORITHMS = f'algs="{" ".join(jose.CLIENT_ALGORITHMS)}"'


class AccessTokenError(Exception):
    """The token is missing, sent twice or invalid.

    `error` is a code of RFC 6750 3.1 or RFC 9449 7.1; empty if the request has no token.
    """

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.description = description

    def response(self, request: Request) -> Response:
        """Return the response. The challenge of the scheme that was tried comes first, with the error."""
        error = {"error": self.error} if self.error else {}  # no code for a request without a token (RFC 6750 3.1)
        by_dpop = _scheme(request) == "dpop"
        challenges = [
            ("WWW-Authenticate", self._challenge(scheme, tried=(scheme is _DPOP) == by_dpop))
            for scheme in ((_DPOP, _BEARER) if by_dpop else (_BEARER, _DPOP))
        ]
        return json_response({**error, "error_description": self.description}, self.status, challenges)

    def _challenge(self, scheme: str, *, tried: bool) -> str:
        parts = [f'error="{self.error}"', f'error_description="{self.description}"'] if tried and self.error else []
        if scheme is _DPOP:
            return f"{_DPOP} {', '.join([*parts, _ALGORITHMS])}"
        return ", ".join([_BEARER, *parts])


def find_holder(request: Request) -> Holder:
    """Return the holder of the access token of this request.

    Raises:
        AccessTokenError: The token is missing or invalid, or bound to a key that this request does not prove.
    """
    scheme, value = _presented(request)
    if len(value) != _TOKEN_LENGTH:
        raise AccessTokenError(401, "invalid_token", "the access token is unknown, expired or revoked")
    holder = services().server.store.find_holder(opaque.digest(value), now())
    if holder is None:
        raise AccessTokenError(401, "invalid_token", "the access token is unknown, expired or revoked")
    if scheme != "bearer" or holder.jkt is not None:
        _check_binding(request, scheme, value, holder)
    return holder


def registration(holder: Holder) -> Registration:
    """Return the client of a token, in the version that the store read or a newer one.

    Raises:
        AccessTokenError: The client was disabled or removed meanwhile.
    """
    client = registry.find(holder.client_id)
    if client is None or client.version != holder.client_version:
        client = registry.find(holder.client_id, fresh=True)
    if client is None:
        raise AccessTokenError(401, "invalid_token", "the client is not registered")
    return client


def authenticate_charter(request: Request) -> Bearer | Response:
    """Return the holder of a token with the scope `charter`, or the response that refuses it (`idp.charter.api`)."""
    try:
        holder = find_holder(request)
        client = registration(holder)
    except AccessTokenError as refused:
        return refused.response(request)
    if "charter" not in release.effective_scopes(client, holder.scope):
        return AccessTokenError(403, "insufficient_scope", "the scope charter is needed").response(request)
    return Bearer(holder.account_id, holder.client_key, client.charter_mode is not CharterMode.PROVIDER)


def _check_binding(request: Request, scheme: str, value: str, holder: Holder) -> None:
    if holder.jkt is None:
        raise AccessTokenError(401, "invalid_token", "the access token is bound to no key: it is a Bearer token")
    if scheme != "dpop":
        raise AccessTokenError(401, "invalid_token", "the access token is bound to a key: it is no Bearer token")
    try:
        dpop.confirm(request, services().settings.issuer, registration(holder), value, holder.jkt)
    except dpop.ProofError as refused:
        raise AccessTokenError(401, refused.error, str(refused.description)) from refused
    except dpop.WrongKeyError as wrong:
        raise AccessTokenError(401, "invalid_token", "the access token is bound to another key") from wrong


def _presented(request: Request) -> tuple[str, str]:
    """Return the scheme, in lower case, and the token of this request.

    Raises:
        AccessTokenError: There is no token, more than one, or one in the query.
    """
    header = request.header("Authorization")
    in_body = None
    if request.method == "POST" and request.form:
        try:
            in_body = parse(request.form).get("access_token")
        except ParameterError as error:
            raise AccessTokenError(400, "invalid_request", str(error)) from error
    if request.query_string and "access_token" in request.arguments:
        raise AccessTokenError(400, "invalid_request", "an access token must not be sent in the query")
    if header and in_body is not None:
        raise AccessTokenError(400, "invalid_request", "the request has two access tokens")
    if in_body is not None:
        return "bearer", in_body
    scheme, _, value = header.partition(" ")
    if scheme.lower() not in {"bearer", "dpop"} or not value:
        raise AccessTokenError(401, "", "an access token is needed")
    return scheme.lower(), value.strip()


def _scheme(request: Request) -> str:
    return request.header("Authorization").partition(" ")[0].lower()
