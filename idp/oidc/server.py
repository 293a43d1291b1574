"""Authlib's authorization server with the clients, grants and store of this service.

Authlib selects the grant, authenticates the client and formats the responses of the token endpoint. The store
(`idp.oidc.store.contract`) prevents the races that Authlib's documented pattern allows: a code that is used twice, a
token that is still valid after a replay.
"""

import json
import logging
from typing import Any, cast

from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidClientError

from idp import opaque
from idp.config import Settings
from idp.oidc.client_auth import client, private_key_jwt
from idp.oidc.keys.ring import KeyRing
from idp.oidc.store.store import Store
from idp.oidc.tokens.grants import CodeGrant, RefreshGrant
from idp.web.errors import ServiceBusyError
from idp.web.http import Response

# Authlib logs valid tokens at DEBUG, so its level is fixed, whatever the operator configures.
logging.getLogger("authlib").setLevel(logging.WARNING)


class Server(AuthorizationServer):
    """The authorization server of one application."""

    def __init__(self, settings: Settings, store: Store, ring: KeyRing) -> None:
        super().__init__()
        self.settings = settings
        self.store = store
        self.ring = ring
        self.refresh_key = opaque.derive_key(settings.secrets[0], "refresh token")
        self.register_client_auth_method("client_secret_basic", client.authenticate_basic)
        self.register_client_auth_method("client_secret_post", client.authenticate_post)
        self.register_client_auth_method(private_key_jwt.METHOD, private_key_jwt.authenticate)
        self.register_client_auth_method("none", client.authenticate_none)
        self.register_grant(CodeGrant)
        self.register_grant(RefreshGrant)

    def authenticate_client(self, request: Any, methods: Any, endpoint: str = "token") -> client.ProtocolClient:
        """Return the client that the request authenticates.

        Raises:
            InvalidClientError: The authentication failed; the error is always the same.
            ServiceBusyError: The keys of the client could not be fetched.
            TooManyRequestsError: Too many authentications failed.
        """
        try:
            return cast("client.ProtocolClient", super().authenticate_client(request, methods, endpoint))
        except InvalidClientError:
            client.count_failure(request)
            raise client.authentication_error() from None
        except ServiceBusyError:  # the client's keys could not be fetched
            client.count_failure(request)
            raise

    def create_oauth2_request(self, request: Any) -> Any:
        """Return the request, which is a `ParsedRequest` already."""
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> Response:
        """Return Authlib's response as ours. Its headers say that it is not to be cached (RFC 6749 5.1)."""
        return Response(body if isinstance(body, str) else json.dumps(body), status, headers)
