"""The bodies and the ways of authentication that `idp.oidc.openapi` refers to."""

from typing import Any

from idp.oidc.clients import AUTH_METHODS, GRANT_TYPES

_TEXT: dict[str, Any] = {"type": "string"}
_TEXTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
_TRUTH: dict[str, Any] = {"type": "boolean"}
_INSTANT: dict[str, Any] = {"type": "integer", "description": "seconds since 1970"}

SECURITY: dict[str, Any] = {
    "client_secret_basic": {"type": "http", "scheme": "basic"},
    "access_token": {"type": "http", "scheme": "bearer"},
    "dpop": {"type": "http", "scheme": "dpop"},
    "registration_token": {"type": "http", "scheme": "bearer"},
}
BASIC: dict[str, list[str]] = {"client_secret_basic": []}
BEARER: dict[str, list[str]] = {"access_token": []}
DPOP: dict[str, list[str]] = {"dpop": []}
REGISTRATION: dict[str, list[str]] = {"registration_token": []}
NO_CLIENT: dict[str, list[str]] = {}
"""Nothing in a header: what proves the caller is in the body."""

_METADATA: dict[str, Any] = {
    "redirect_uris": {**_TEXTS, "minItems": 1},
    "client_name": _TEXT,
    "scope": _TEXT,
    "grant_types": {"type": "array", "items": {"type": "string", "enum": list(GRANT_TYPES)}},
    "response_types": {"type": "array", "items": {"type": "string", "enum": ["code"]}},
    "token_endpoint_auth_method": {"type": "string", "enum": list(AUTH_METHODS)},
    "token_endpoint_auth_signing_alg": _TEXT,
    "jwks": {"type": "object"},
    "jwks_uri": _TEXT,
    "subject_type": {"type": "string", "enum": ["pairwise", "public"]},
    "sector_identifier_uri": _TEXT,
    "id_token_signed_response_alg": _TEXT,
    "userinfo_signed_response_alg": _TEXT,
    "default_max_age": {"type": "integer", "minimum": 0},
    "require_auth_time": _TRUTH,
    "initiate_login_uri": _TEXT,
    "post_logout_redirect_uris": _TEXTS,
    "backchannel_logout_uri": _TEXT,
    "frontchannel_logout_uri": _TEXT,
    "require_pushed_authorization_requests": _TRUTH,
    "dpop_bound_access_tokens": _TRUTH,
    "backchannel_logout_session_required": _TRUTH,
    "frontchannel_logout_session_required": _TRUTH,
    "default_acr_values": _TEXTS,
    "application_type": {"type": "string", "enum": ["web"]},
    "software_id": _TEXT,
    "software_version": _TEXT,
    "client_uri": _TEXT,
    "logo_uri": _TEXT,
    "policy_uri": _TEXT,
    "tos_uri": _TEXT,
    "contacts": _TEXTS,
}


def _object(required: tuple[str, ...] = (), **properties: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    return {**schema, "required": list(required)} if required else schema


SCHEMAS: dict[str, Any] = {
    "Document": {"type": "object"},
    "Error": _object(("error",), error=_TEXT, error_description=_TEXT),
    "Unauthorized": _object(("error_description",), error=_TEXT, error_description=_TEXT),
    "Tokens": _object(
        ("access_token", "token_type", "expires_in"),
        access_token=_TEXT,
        token_type={"type": "string", "enum": ["Bearer", "DPoP"]},
        expires_in={"type": "integer"},
        id_token=_TEXT,
        refresh_token=_TEXT,
        scope=_TEXT,
    ),
    "Pushed": _object(("request_uri", "expires_in"), request_uri=_TEXT, expires_in={"type": "integer"}),
    "Introspection": _object(
        ("active",),
        active=_TRUTH,
        iss=_TEXT,
        client_id=_TEXT,
        aud=_TEXT,
        sub=_TEXT,
        scope=_TEXT,
        exp=_INSTANT,
        auth_time=_INSTANT,
        acr=_TEXT,
        cnf=_object(("jkt",), jkt=_TEXT),
        token_type={"type": "string", "enum": ["Bearer", "DPoP"]},
    ),
    "Claims": _object(("sub",), sub=_TEXT),
    "Charter": _object(
        ("version", "markdown", "accepted"),
        version=_TEXT,
        published_at=_TEXT,
        markdown=_TEXT,
        html=_TEXT,
        accepted=_TRUTH,
        accepted_at=_INSTANT,
    ),
    "Acceptance": _object(("version",), version={"type": "string", "minLength": 1, "maxLength": 40}),
    "ClientMetadata": _object(("redirect_uris",), **_METADATA),
    "ClientUpdate": {
        **_object(("client_id", "redirect_uris"), client_id=_TEXT, client_secret=_TEXT, **_METADATA),
        "description": "the registration as it is to be, without what the service alone says of it",
    },
    "Client": _object(
        ("client_id", "client_id_issued_at", "redirect_uris", "registration_access_token", "registration_client_uri"),
        client_id=_TEXT,
        client_id_issued_at=_INSTANT,
        client_secret=_TEXT,
        client_secret_expires_at=_INSTANT,
        registration_access_token=_TEXT,
        registration_client_uri=_TEXT,
        pending_approval=_object(
            ("hosts", "redirect_uris", "asked_at", "description"),
            hosts=_TEXTS,
            redirect_uris=_TEXTS,
            asked_at=_TEXT,
            description=_TEXT,
        ),
        **_METADATA,
    ),
}
