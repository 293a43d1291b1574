"""Discovery (OpenID Connect Discovery 1.0, RFC 8414) and the JWKS (RFC 7517)."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from idp.languages import OFFERED
from idp.oidc.authorization.errors import RESPONSE_MODES
from idp.oidc.claims.release import CLAIMS_BY_SCOPE
from idp.oidc.client_auth.client import GRANT_TYPES
from idp.oidc.keys.jose import CLIENT_ALGORITHMS
from idp.services import services
from idp.web.declarations import Trait, declares
from idp.web.endpoints import Endpoint
from idp.web.http import Request, Response

_JSON = (("Content-Type", "application/json"), ("Access-Control-Allow-Origin", "*"))
_CACHED = (*_JSON, ("Cache-Control", "public, max-age=3600"))
# In an emergency a new key signs at once. A client that does not know its `kid` reads the JWKS again, and a proxy must
# not answer with an old copy.
_KEYS_CACHED = (*_JSON, ("Cache-Control", "public, max-age=60"))


def metadata(issuer: str, algorithms: list[str], registrable: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return the provider's metadata. Every URL begins with the configured issuer, never with the host of a request.

    Args:
        issuer: the issuer.
        algorithms: those for which the service has a key that signs.
        registrable: the values that clients may register (`idp.registration.metadata.announced`).
    """
    methods = registrable["token_endpoint_auth_methods_supported"]
    identity = ("sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "sid", "at_hash")
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "pushed_authorization_request_endpoint": f"{issuer}/par",
        "require_pushed_authorization_requests": False,
        "token_endpoint": f"{issuer}/token",
        "registration_endpoint": f"{issuer}/register",
        "revocation_endpoint": f"{issuer}/revoke",
        "introspection_endpoint": f"{issuer}/introspect",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "jwks_uri": f"{issuer}/jwks.json",
        "end_session_endpoint": f"{issuer}/logout",
        "response_types_supported": ["code"],
        "response_modes_supported": list(RESPONSE_MODES),
        "grant_types_supported": list(GRANT_TYPES),
        "id_token_signing_alg_values_supported": algorithms or ["RS256"],
        "userinfo_signing_alg_values_supported": algorithms or ["RS256"],
        "dpop_signing_alg_values_supported": list(CLIENT_ALGORITHMS),
        "code_challenge_methods_supported": ["S256"],
        "claim_types_supported": ["normal"],
        "claims_supported": [*identity, *(claim for group in CLAIMS_BY_SCOPE.values() for claim in group)],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "display_values_supported": ["page"],
        "ui_locales_supported": list(OFFERED),
        "check_session_iframe": f"{issuer}/session/check",
        "frontchannel_logout_supported": True,
        "frontchannel_logout_session_supported": True,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "claims_parameter_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "authorization_response_iss_parameter_supported": True,
        **registrable,
        "introspection_endpoint_auth_methods_supported": [method for method in methods if method != "none"],
    }


@lru_cache(maxsize=16)
def _document(issuer: str, algorithms: tuple[str, ...]) -> bytes:
    return json.dumps(metadata(issuer, list(algorithms), services().registrable)).encode()


def discovery(_request: Request) -> Response:
    """Return the metadata."""
    body = _document(services().settings.issuer, tuple(services().server.ring.algorithms()))
    return Response(body, headers=_CACHED)


@declares(Trait.FOR_PROGRAMS, Trait.FOR_OTHER_SITES)
def jwks(_request: Request) -> Response:
    """Return the public keys."""
    return Response(services().server.ring.document(), headers=_KEYS_CACHED)


ENDPOINTS = (
    Endpoint("/.well-known/openid-configuration", "discovery", discovery, ("GET",), is_in_memory=True),
    Endpoint("/.well-known/oauth-authorization-server", "discovery_oauth", discovery, ("GET",), is_in_memory=True),
    Endpoint("/jwks.json", "jwks", jwks, ("GET",), is_in_memory=True),
)
