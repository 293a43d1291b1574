"""The provider as the ENT sees it: addresses found by discovery, spoken to by HTTP through Authlib's Flask client.

Nothing is remembered between two runs. Whatever goes wrong on the wire is one of three errors, so that the pages can
tell a parent what to do: `ProviderDownError`, `ProviderRefusedError`, `TokenExpiredError`.
"""

import logging
import time
from dataclasses import dataclass
from threading import Lock
from typing import Any, cast

from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.flask_client import OAuth
from flask import Flask, current_app
from requests import PreparedRequest, RequestException, Response
from requests.auth import AuthBase

from clients.ent.checks import CheckError
from clients.ent.settings import Settings, is_web_address

_log = logging.getLogger(__name__)
_TIMEOUT = 10
"""Seconds that the provider has to answer a question."""
_KEYS_ANEW = 10.0
"""Seconds between two readings of the keys for a token's sake: anybody may show a token that names an unknown one."""
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
_BAD_REQUEST, _UNAUTHORIZED, _NOT_FOUND, _CONFLICT, _UNPROCESSABLE = 400, 401, 404, 409, 422


class ProviderDownError(Exception):
    """The provider does not answer, or not in the language agreed on: nobody's fault here, to be tried again."""


class ProviderRefusedError(Exception):
    """The provider says no; `error` is the code of RFC 6749 (4.1.2.1, 5.2) or OpenID Connect Core 1.0 (3.1.2.6)."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class TokenExpiredError(Exception):
    """The access token opens nothing any more: it lives minutes, a reader of charters may take longer."""


class CharterChangedError(Exception):
    """The version that was accepted is not the current one any more: there is a newer text to read."""


@dataclass(frozen=True, slots=True)
class Departure:
    """An authorization request that is ready to leave, with what its answer will have to prove."""

    url: str
    state: str
    nonce: str
    code_verifier: str


class _Bearer(AuthBase):
    """The access token in its header, never in an address (RFC 6750, 2.1); set here so that no .netrc replaces it."""

    def __init__(self, access_token: str) -> None:
        self._access_token = access_token

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._access_token}"
        return request


class Provider:
    """The identity provider of this ENT."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._settings = settings
        self._lock = Lock()
        self._keys_read_at = -_KEYS_ANEW
        self._client = OAuth(app).register(  # type: ignore[no-untyped-call]  # Authlib's types stop here
            "provider",
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            server_metadata_url=f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={
                "scope": settings.scope,
                "code_challenge_method": "S256",
                "token_endpoint_auth_method": "client_secret_basic",
                "default_timeout": _TIMEOUT,
                # A redirect on these back channels would carry a code or a token to somewhere else.
                "max_redirects": 0,
                "verify": settings.ca_bundle or True,
            },
        )

    def metadata(self) -> dict[str, Any]:
        """Return the provider's description, found by discovery at the first need (Discovery 1.0, 4.3).

        Raises:
            ProviderDownError: it cannot be had.
            CheckError: it is the description of another provider.
        """
        with self._lock:
            metadata = cast("dict[str, Any]", self._ask(self._client.load_server_metadata))
            try:
                _check_metadata(metadata, self._settings.issuer)
            except CheckError:
                metadata.pop("_loaded_at", None)  # a wrong description is not remembered
                raise
            return metadata

    def departure(self, login_hint: str | None) -> Departure:
        """Prepare an authorization request with its state, nonce and PKCE S256 challenge (3.1.2.1; RFC 7636, 4.3)."""
        self.metadata()
        hints = {} if login_hint is None else {"login_hint": login_hint}
        prepared = self._ask(self._client.create_authorization_url, self._settings.redirect_uri, **hints)
        return Departure(**prepared)

    def redeem(self, code: str, code_verifier: str) -> tuple[str, object]:
        """Change a code for the access token and the ID token, the latter not yet believed (3.1.3).

        Raises:
            ProviderRefusedError: the code is used, expired or not ours.
            ProviderDownError: no answer, or not a token response.
        """
        self.metadata()
        token = self._ask(
            self._client.fetch_access_token,
            redirect_uri=self._settings.redirect_uri,
            code=code,
            code_verifier=code_verifier,
        )
        access_token = token.get("access_token") if isinstance(token, dict) else None
        if not isinstance(access_token, str) or str(token.get("token_type")).lower() != "bearer":
            raise ProviderDownError("the token response holds no bearer token")
        return access_token, token.get("id_token")

    def keys(self, afresh: bool) -> dict[str, Any]:  # noqa: FBT001 - the shape that the checks ask for
        """Return the provider's public keys, from memory or asked again, though not twice in a moment."""
        with self._lock:
            afresh = afresh and time.monotonic() - self._keys_read_at >= _KEYS_ANEW
            if afresh:
                self._keys_read_at = time.monotonic()
        keys = self._ask(self._client.fetch_jwk_set, force=afresh)
        if not isinstance(keys, dict):
            raise ProviderDownError("the JWK set is not an object")
        return keys

    def userinfo(self, access_token: str) -> object:
        """Return what UserInfo says, not yet believed (5.3)."""
        return self._json(self._call("GET", self.metadata()["userinfo_endpoint"], access_token))

    def charter(self, access_token: str) -> dict[str, Any] | None:
        """Return the current charter of this ENT, or None when none was published."""
        response = self._call("GET", f"{self._settings.issuer.rstrip('/')}/charter", access_token, fine=(_NOT_FOUND,))
        if response.status_code == _NOT_FOUND:
            return None
        charter = self._json(response)
        if not isinstance(charter, dict) or not all(isinstance(charter.get(n), str) for n in ("version", "markdown")):
            raise ProviderDownError("the charter has no version or no text")
        return charter

    def accept_charter(self, access_token: str, version: str) -> None:
        """Record that the person accepts this version.

        Raises:
            CharterChangedError: another version is current, or this one never was: the form can be tampered with.
        """
        address = f"{self._settings.issuer.rstrip('/')}/charter/acceptance"
        not_that_one = (_BAD_REQUEST, _NOT_FOUND, _CONFLICT, _UNPROCESSABLE)
        response = self._call("POST", address, access_token, fine=not_that_one, json={"version": version})
        if response.status_code in not_that_one:
            raise CharterChangedError

    def sign_out_url(self, id_token: str, state: str) -> str | None:
        """Return where the browser goes to sign out there too (RP-Initiated Logout 1.0, 2), if anywhere."""
        if not self.metadata().get("end_session_endpoint"):
            return None
        prepared = self._client.create_logout_url(
            post_logout_redirect_uri=self._settings.home_uri,
            id_token_hint=id_token,
            client_id=self._settings.client_id,
            state=state,
        )
        return str(prepared["url"])

    def _call(
        self,
        method: str,
        url: str,
        access_token: str,
        *,
        fine: tuple[int, ...] = (),
        json: dict[str, str] | None = None,
    ) -> Response:
        """Call an API of the provider with the access token; a status that is no success is an error unless `fine`."""
        response = cast(
            "Response",
            self._ask(self._client.request, method, url, withhold_token=True, auth=_Bearer(access_token), json=json),
        )
        if response.status_code == _UNAUTHORIZED:
            raise TokenExpiredError
        if response.status_code >= _BAD_REQUEST and response.status_code not in fine:
            raise ProviderDownError(f"{method} {url} answered {response.status_code}")
        return response

    def _json(self, response: Response) -> object:
        """Return the JSON of a response."""
        return self._ask(response.json)

    def _ask(self, question: Any, *args: Any, **kwargs: Any) -> Any:
        """Ask through Authlib, and translate what it and requests raise into the errors of this module."""
        try:
            return question(*args, **kwargs)
        except OAuthError as error:
            raise ProviderRefusedError(str(error.error)) from error
        except (RequestException, ValueError, TypeError) as error:
            # The type alone: the text of a requests error holds the address, and with it what was sent.
            _log.warning("The provider did not answer as agreed: %s", type(error).__name__)
            raise ProviderDownError(type(error).__name__) from error


def _check_metadata(metadata: dict[str, Any], issuer: str) -> None:
    """The description is that of the issuer (Discovery 1.0, 4.3), and each address is safe to talk to."""
    if metadata.get("issuer") != issuer:
        raise CheckError("metadata_issuer", "discovery describes another provider")
    for name in _ENDPOINTS:
        if not isinstance(metadata.get(name), str) or not is_web_address(metadata[name]):
            raise CheckError("metadata", f"discovery gives no usable {name}")


def current_provider() -> Provider:
    """Return the provider of the application that serves the request."""
    return cast("Provider", current_app.extensions["ent_provider"])
