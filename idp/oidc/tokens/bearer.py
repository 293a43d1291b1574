"""Access tokens as they are presented (RFC 6750): in the header, or in the body of a POST; never in an address.

A token that is bound to a key comes by the scheme `DPoP`, with a proof of that key (RFC 9449 7); any other one comes by
`Bearer`.
"""

from flask import Response, make_response, request

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

_TOKEN_LENGTH = 43
_FORM = "application/x-www-form-urlencoded"
_BEARER, _DPOP = 'Bearer realm="idp"', "DPoP"
_ALGORITHMS = f'algs="{" ".join(jose.CLIENT_ALGORITHMS)}"'


class Unauthorized(Exception):  # noqa: N818 - what is answered
    """The token is missing, doubled or not alive; `status` and `error` are RFC 6750 3.1's or RFC 9449 7.1's."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.description = description

    def response(self) -> Response:
        """Return the answer: first the challenge of the scheme that was tried, which says what is wrong."""
        error = {"error": self.error} if self.error else {}  # who shows no token is told no code (RFC 6750 3.1)
        response = make_response({**error, "error_description": self.description}, self.status)
        by_dpop = _presented_scheme() == "dpop"
        for scheme in (_DPOP, _BEARER) if by_dpop else (_BEARER, _DPOP):
            response.headers.add("WWW-Authenticate", self._challenge(scheme, tried=(scheme is _DPOP) == by_dpop))
        return response

    def _challenge(self, scheme: str, *, tried: bool) -> str:
        parts = [f'error="{self.error}"', f'error_description="{self.description}"'] if tried and self.error else []
        if scheme is _DPOP:
            return f"{_DPOP} {', '.join([*parts, _ALGORITHMS])}"
        return ", ".join([_BEARER, *parts])


def holder() -> Holder:
    """Return whom the token of this request stands for.

    Raises:
        Unauthorized: it stands for nobody, or is bound to a key that this request does not prove.
    """
    scheme, value = _presented()
    if len(value) != _TOKEN_LENGTH:
        raise Unauthorized(401, "invalid_token", "the access token is not alive")
    found = services().server.store.find_holder(opaque.digest(value), now())
    if found is None:
        raise Unauthorized(401, "invalid_token", "the access token is not alive")
    if scheme != "bearer" or found.jkt is not None:
        _check_binding(scheme, value, found)
    return found


def registration(found: Holder) -> Registration:
    """Return the client of a token, as the statement that read the token saw it or younger.

    Raises:
        Unauthorized: it has been shut out since.
    """
    client = registry.find(found.client_id)
    if client is None or client.version != found.client_version:
        client = registry.find(found.client_id, fresh=True)
    if client is None:
        raise Unauthorized(401, "invalid_token", "the client is not registered")
    return client


def authenticate_charter() -> Bearer | Response:
    """Return whom a token with scope `charter` stands for, or the answer that refuses it (`idp.charter.api`)."""
    try:
        found = holder()
        client = registration(found)
    except Unauthorized as refused:
        return refused.response()
    if "charter" not in release.effective(client, found.scope):
        return Unauthorized(403, "insufficient_scope", "the scope charter is needed").response()
    return Bearer(found.account_id, found.client_key, client.charter_mode is not CharterMode.PROVIDER)


def _check_binding(scheme: str, value: str, found: Holder) -> None:
    """A bound token needs its scheme and a proof; the scheme needs a bound token (RFC 9449 7.1, 7.2)."""
    if found.jkt is None:
        raise Unauthorized(401, "invalid_token", "the access token is bound to no key: it is a Bearer token")
    if scheme != "dpop":
        raise Unauthorized(401, "invalid_token", "the access token is bound to a key: it is no Bearer token")
    try:
        dpop.confirm(services().settings.issuer, registration(found), value, found.jkt)
    except dpop.ProofRefused as refused:
        raise Unauthorized(401, refused.error, str(refused.description)) from refused
    except dpop.WrongKey as wrong:
        raise Unauthorized(401, "invalid_token", "the access token is bound to another key") from wrong


def _presented() -> tuple[str, str]:
    """Return the scheme by which a token came, in small letters, and the token."""
    header = request.headers.get("Authorization", "")
    in_body = None
    if request.method == "POST" and request.mimetype == _FORM:
        try:
            in_body = parse(request.get_data()).get("access_token")
        except ParameterError as error:
            raise Unauthorized(400, "invalid_request", str(error)) from error
    if request.query_string and "access_token" in request.args:
        raise Unauthorized(400, "invalid_request", "a token does not belong in an address")
    if header and in_body is not None:
        raise Unauthorized(400, "invalid_request", "two tokens at once")
    if in_body is not None:
        return "bearer", in_body
    scheme, _, value = header.partition(" ")
    if scheme.lower() not in {"bearer", "dpop"} or not value:
        raise Unauthorized(401, "", "an access token is needed")
    return scheme.lower(), value.strip()


def _presented_scheme() -> str:
    return request.headers.get("Authorization", "").partition(" ")[0].lower()
