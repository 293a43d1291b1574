"""A registered client as Authlib sees it (RFC 6749 2), and the proof that a request comes from it."""

import base64
import binascii
import hmac
from collections.abc import Collection
from typing import Any
from urllib.parse import unquote_plus

from authlib.oauth2.rfc6749 import ClientMixin, InvalidClientError, OAuth2Request

from idp import opaque
from idp.clients import registry
from idp.clients.registry import Registration
from idp.clock import now

SECRET_METHODS = ("client_secret_basic", "client_secret_post")
AUTH_METHODS = (*SECRET_METHODS, "private_key_jwt", "none")
GRANT_TYPES = ("authorization_code", "refresh_token")

_LONGEST_CREDENTIAL = 512


class ProtocolClient(ClientMixin):
    """A registration, with the questions that Authlib asks of it."""

    def __init__(self, registration: Registration) -> None:
        self.registration = registration

    def get_client_id(self) -> str:
        """Return the public name."""
        return self.registration.client_id

    def get_default_redirect_uri(self) -> None:  # type: ignore[override] # the stub forgets that there may be none
        """Return nothing: OpenID Connect Core 3.1.2.1 wants the redirect URI in every request."""

    def get_allowed_scope(self, scope: Collection[str] | str) -> str:
        """Return the scopes that were asked; the request's checks refused those that are not assigned."""
        return scope if isinstance(scope, str) else " ".join(scope)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Compare letter by letter (RFC 9700 4.1)."""
        return redirect_uri in self.registration.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        """Compare digests in constant time; a client without a secret matches none.

        During a rotation the former secret is good too.
        """
        return self.proven(opaque.digest(client_secret))

    def proven(self, digest: bytes) -> bool:
        """Return whether the secret of that digest is one of this registration's."""
        return any(hmac.compare_digest(stored, digest) for stored in _secrets(self.registration))

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:  # noqa: ARG002 - Authlib's signature
        """Accept the one method that was registered, at every endpoint."""
        return method == self.registration.auth_method

    def check_response_type(self, response_type: str) -> bool:
        """Accept the code flow alone."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Accept codes, and refresh tokens for clients that may ask `offline_access`."""
        if grant_type == "refresh_token":
            return "offline_access" in self.registration.scopes
        return grant_type == "authorization_code"


def _secrets(registration: Registration) -> list[bytes]:
    """Return the digests of the secrets that are good now."""
    current, former, until = (
        registration.secret_digest,
        registration.former_secret_digest,
        registration.former_secret_until,
    )
    found = [] if current is None else [current]
    return [*found, former] if former is not None and until is not None and until > now() else found


def still_proves(known: Registration, current: Registration) -> bool:
    """Return whether what a request proved by `known` is what it must prove now: the same rules, and a secret of then.

    A secret that was replaced at once is good no more, even for a request on its way.
    """
    if _proved_by(known) != _proved_by(current):
        return False
    good = _secrets(current)
    return all(secret in good for secret in _secrets(known))


def _proved_by(registration: Registration) -> tuple[object, ...]:
    """Return what decides how a client proves itself, but for its secrets."""
    one = registration
    return one.auth_method, one.auth_alg, one.fapi2, one.jwks, one.jwks_uri


def find(client_id: str | None, *, fresh: bool = False) -> ProtocolClient | None:
    """Return the enabled client of that name."""
    if not client_id or len(client_id) > _LONGEST_CREDENTIAL:
        return None
    registration = registry.find(client_id, fresh=fresh)
    return ProtocolClient(registration) if registration else None


class _Refusal(InvalidClientError):  # noqa: N818 - what is answered
    """The refusal with a challenge that names its realm, as this scheme must (RFC 7617 2)."""

    def get_headers(self) -> list[tuple[str, str]]:
        """Return the headers of the answer."""
        headers = super().get_headers()  # type: ignore[no-untyped-call] # Authlib's stubs lack it
        challenge = f'Basic realm="idp", error="{self.error}", error_description="{self.description}"'
        return [(name, challenge if name == "WWW-Authenticate" else value) for name, value in headers]


def refused() -> InvalidClientError:
    """Return the one answer to unknown clients, disabled ones and wrong proofs (RFC 6749 5.2)."""
    return _Refusal(description="The client cannot authenticate.", status_code=401)


def _matching(client_id: str, secret: str) -> ProtocolClient | None:
    """Return the client if the secret is its own; a refusal is decided on the registration as the database has it.

    An unknown client, a disabled one and a wrong secret cost one look into the database each.
    """
    client = find(client_id)
    if client and not client.check_client_secret(secret):
        client = find(client_id, fresh=True)
    return client if client and client.check_client_secret(secret) else None


def authenticate_basic(_query_client: Any, request: OAuth2Request) -> ProtocolClient | None:
    """`client_secret_basic`: both parts are form-encoded before they are joined (RFC 6749 2.3.1).

    Names and secrets that this service makes are the same encoded or not: clients that do not encode are right too.
    A name in the body may repeat the header's and not contradict it.
    """
    credentials = basic_credentials((request.headers or {}).get("Authorization", ""))
    if credentials is None:
        return None
    client_id, secret = (unquote_plus(part) for part in credentials)
    if request.form.get("client_id", client_id) != client_id:
        return None
    return _matching(client_id, secret)


def authenticate_post(_query_client: Any, request: OAuth2Request) -> ProtocolClient | None:
    """`client_secret_post`: both in the body."""
    client_id, secret = request.form.get("client_id"), request.form.get("client_secret")
    return _matching(client_id, secret) if client_id and secret else None


def authenticate_none(_query_client: Any, request: OAuth2Request) -> ProtocolClient | None:
    """`none`: a public client names itself and shows nothing else; PKCE proves the rest."""
    shown = request.form.keys() & {"client_secret", "client_assertion", "client_assertion_type"}
    if shown or (request.headers or {}).get("Authorization"):
        return None
    return find(request.form.get("client_id"))


def basic_credentials(header: str) -> tuple[str, str] | None:
    """Return the raw halves of a Basic header; None for anything that is not one, however odd its bytes."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or not encoded or len(encoded) > 4 * _LONGEST_CREDENTIAL:
        return None
    try:
        client_id, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return None
    return (client_id, secret) if colon else None
