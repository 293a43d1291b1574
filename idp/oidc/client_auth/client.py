"""Reads the requests of clients, and authenticates clients by secret or as public clients, for Authlib (RFC 6749 2).

The rate limit on failed authentication never delays a request that authenticates, so that nobody can lock an ENT out by
guessing in its name. The response says after how many seconds to retry. Clients that do not exist have the same limits.
"""

import base64
import binascii
import hmac
import re
from typing import Any
from urllib.parse import unquote_plus

import structlog
from authlib.oauth2.rfc6749 import ClientMixin, InvalidClientError, InvalidRequestError, OAuth2Request

from idp import opaque
from idp.accounts.passwords import alarm
from idp.clients import registry
from idp.clients.registry import Registration
from idp.clock import now
from idp.oidc.keys import jose
from idp.oidc.parameters import ParameterError, ParsedRequest, parse
from idp.services import services
from idp.throttle import guard, limits
from idp.web.errors import TooManyRequestsError
from idp.web.http import FORM, Request, Response, json_response
from idp.web.request_context import remote_ip

SECRET_METHODS = ("client_secret_basic", "client_secret_post")
AUTH_METHODS = (*SECRET_METHODS, "private_key_jwt", "none")
GRANT_TYPES = ("authorization_code", "refresh_token")

_MAX_CREDENTIAL_LENGTH = 512
_FORBIDDEN = re.compile(r"[^ !#-\[\]-~]")

log = structlog.get_logger()


class ProtocolClient(ClientMixin):
    """A registration with the interface that Authlib needs."""

    def __init__(self, registration: Registration) -> None:
        self.registration = registration

    def has_secret(self, secret: str) -> bool:
        """Return whether the secret is valid; during a rotation, the former secret is valid too."""
        digest = opaque.digest(secret)
        return any(hmac.compare_digest(stored, digest) for stored in _secrets(self.registration))

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:  # noqa: ARG002 - Authlib's signature
        """Return whether the method is the registered one, at any endpoint; log a refusal."""
        if method == self.registration.auth_method:
            return True
        self.log_refusal(f"it authenticated by {method} and is registered for {self.registration.auth_method}")
        return False

    def log_refusal(self, reason: str) -> None:
        """Write a line for operators, who learn which ENT is not recognized. Only registered clients have one."""
        log.info("client authentication refused", client_id=self.registration.client_id, reason=reason)


def _secrets(registration: Registration) -> list[bytes]:
    current, former, until = (
        registration.secret_digest,
        registration.former_secret_digest,
        registration.former_secret_until,
    )
    secrets = [] if current is None else [current]
    return [*secrets, former] if former is not None and until is not None and until > now() else secrets


def is_authentication_current(known: Registration, current: Registration) -> bool:
    """Return whether a request that authenticated by `known` would authenticate by `current` too.

    A request that is under way while its secret is replaced at once is refused.
    """
    if _authentication_rules(known) != _authentication_rules(current):
        return False
    valid = _secrets(current)
    return all(secret in valid for secret in _secrets(known))


def _authentication_rules(client: Registration) -> tuple[object, ...]:
    known_by = client.auth_method, client.auth_alg, client.fapi2, client.assertion_audience
    return *known_by, client.jwks, client.jwks_uri


def find(client_id: str | None, *, fresh: bool = False) -> ProtocolClient | None:
    """Return the enabled client with this identifier, or None."""
    if not client_id or len(client_id) > _MAX_CREDENTIAL_LENGTH:
        return None
    registration = registry.find(client_id, fresh=fresh)
    return ProtocolClient(registration) if registration else None


class _ClientAuthenticationError(InvalidClientError):
    def get_headers(self) -> list[tuple[str, str]]:
        headers = super().get_headers()  # type: ignore[no-untyped-call] # Authlib's stubs lack it
        # with a challenge that names its realm (RFC 7617 2)
        challenge = f'Basic realm="idp", error="{self.error}", error_description="{self.description}"'
        return [(name, challenge if name == "WWW-Authenticate" else value) for name, value in headers]


def authentication_error() -> InvalidClientError:
    """Return the same error for unknown clients, disabled clients and wrong credentials (RFC 6749 5.2)."""
    return _ClientAuthenticationError(description="The client cannot authenticate.", status_code=401)


def _find_with_secret(client_id: str, secret: str) -> ProtocolClient | None:
    """Return the client if the secret is valid.

    Before a refusal the registration is read from the database, so that an unknown client, a disabled client and a
    wrong secret take the same time.
    """
    client = find(client_id)
    if client and not client.has_secret(secret):
        client = find(client_id, fresh=True)
    if client and not client.has_secret(secret):
        former = client.registration.former_secret_digest
        is_former = former is not None and hmac.compare_digest(former, opaque.digest(secret))
        client.log_refusal("its former secret is not valid any more" if is_former else "its secret is wrong")
        return None
    return client


def authenticate_basic(_query_client: Any, request: OAuth2Request) -> ProtocolClient | None:
    """Authenticate by `client_secret_basic`, whose parts are form-encoded (RFC 6749 2.3.1).

    The identifiers and secrets of this service are the same with and without encoding, so clients that do not encode
    them are accepted too. A `client_id` in the body must be that of the header.
    """
    credentials = basic_credentials((request.headers or {}).get("Authorization", ""))
    if credentials is None:
        return None
    client_id, secret = (unquote_plus(part) for part in credentials)
    if request.form.get("client_id", client_id) != client_id:
        return None
    return _find_with_secret(client_id, secret)


def authenticate_post(_query_client: Any, request: OAuth2Request) -> ProtocolClient | None:
    """Authenticate by `client_secret_post`."""
    client_id, secret = request.form.get("client_id"), request.form.get("client_secret")
    return _find_with_secret(client_id, secret) if client_id and secret else None


def authenticate_none(_query_client: Any, request: OAuth2Request) -> ProtocolClient | None:
    """Identify a public client (`none`), which must send no credentials; PKCE protects its codes."""
    credentials = request.form.keys() & {"client_secret", "client_assertion", "client_assertion_type"}
    if credentials or (request.headers or {}).get("Authorization"):
        return None
    return find(request.form.get("client_id"))


def basic_credentials(header: str) -> tuple[str, str] | None:
    """Return the raw parts of a Basic `Authorization` header; None for any other header."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or not encoded or len(encoded) > 4 * _MAX_CREDENTIAL_LENGTH:
        return None
    try:
        client_id, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return None
    return (client_id, secret) if colon else None


def count_failure(request: OAuth2Request) -> None:
    """Count a failed client authentication.

    Raises:
        TooManyRequestsError: There were too many in the name of that client, or from that IP address.
    """
    name = claimed_client(request)
    demands: list[tuple[limits.Limit, str]] = [(limits.CLIENT_PROOF_IP, remote_ip())]
    if name:
        demands.append((limits.CLIENT_PROOF, name))
    if seconds := guard.cached_wait(*demands):  # from memory: a flood must not load the database
        raise TooManyRequestsError(seconds)
    verdict = guard.take_all(*demands)
    if isinstance(verdict, guard.Wait):
        log.warning("client authentication rate-limited", limit=verdict.limit.name, seconds=verdict.seconds)
        raise TooManyRequestsError(verdict.seconds)
    alarm.count_failure(services().settings)


def claimed_client(request: OAuth2Request) -> str:
    """Return the client that an unauthenticated request names, or an empty string."""
    credentials = basic_credentials((request.headers or {}).get("Authorization", ""))
    if credentials:
        return unquote_plus(credentials[0])
    try:
        subject = jose.parts(request.form.get("client_assertion", ""))[1].get("sub")
    except jose.InvalidTokenError:
        subject = None
    return subject if isinstance(subject, str) else request.form.get("client_id", "")


def read(request: Request, required: str) -> dict[str, str]:
    """Return the parameters of the body.

    Raises:
        InvalidRequestError: The body is not a form, the query is not empty, a `required` parameter is missing, or
            the client authenticates in two ways (RFC 6749 2.3).
    """
    if request.media_type != FORM:
        raise InvalidRequestError(f"the body must be {FORM}", status_code=415)
    if request.query_string:
        raise InvalidRequestError("parameters belong in the body")
    try:
        parameters = parse(request.body)
    except ParameterError as error:
        raise InvalidRequestError(str(error)) from error
    credentials = {"client_secret", "client_assertion"} & parameters.keys()
    if len(credentials) + bool(request.header("Authorization")) > 1:
        raise InvalidRequestError("the client authenticates in two ways at once")
    if required not in parameters:
        raise InvalidRequestError(f"{required} is missing")
    return parameters


def authenticate_current(request: Request, parameters: dict[str, str], endpoint: str) -> Registration:
    """Return the registration that the database has for the client that sends this request.

    It is for endpoints whose statements do not check the client's version.

    Raises:
        InvalidClientError: The authentication failed, or the client was disabled or changed meanwhile.
    """
    parsed = ParsedRequest(request, parameters)
    known = services().server.authenticate_client(parsed, AUTH_METHODS, endpoint).registration
    fresh = find(known.client_id, fresh=True)
    if fresh is None or not is_authentication_current(known, fresh.registration):
        raise authentication_error()
    return fresh.registration


def refuse(status: int, error: str, description: str) -> Response:
    """Return an error response (RFC 6749 5.2).

    `error_description` has only printable ASCII without double quotes and backslashes, and is never empty (A.8).
    """
    optional = {"error_description": _FORBIDDEN.sub("?", description)} if description else {}
    return answer({"error": error, **optional}, status)


def answer(body: object, status: int = 200) -> Response:
    """Return a JSON response that is not cached (RFC 6749 5.1)."""
    return json_response(body, status, [("Cache-Control", "no-store"), ("Pragma", "no-cache")])
