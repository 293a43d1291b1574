"""Client metadata (RFC 7591 2, OpenID Connect Registration 1.0 2) and what this service keeps of it.

Each member is read by its name and its kind; members that are not known are ignored, as RFC 7591 says, but those that
ask for something that is not served (encryption, request objects) are refused: a client must not believe that it got
them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from idp.clients.models import Client, ClientInvite
from idp.oidc.clients import GRANT_TYPES, SECRET_METHODS
from idp.oidc.wanted import Wanted

REDIRECT_FAULT, METADATA_FAULT = "invalid_redirect_uri", "invalid_client_metadata"
OPTIONS = {
    "--redirect-uri": "redirect_uris",
    "--post-logout-redirect-uri": "post_logout_redirect_uris",
    "--backchannel-logout-uri": "backchannel_logout_uri",
    "--frontchannel-logout-uri": "frontchannel_logout_uri",
    "--initiate-login-uri": "initiate_login_uri",
    "--home-uri": "client_uri",
    "--jwks-uri": "jwks_uri",
    "--jwks": "jwks",
    "--sector-identifier-uri": "sector_identifier_uri",
    "--policy-uri": "policy_uri",
    "--tos-uri": "tos_uri",
    "--auth-method": "token_endpoint_auth_method",
    "--auth-alg": "token_endpoint_auth_signing_alg",
    "--id-token-alg": "id_token_signed_response_alg",
    "--userinfo-alg": "userinfo_signed_response_alg",
    "--default-max-age": "default_max_age",
    "--subject": "subject_type",
    "--scopes": "scope",
}
"""What the options of `idp client add` are called in metadata, for the sentences of faults; longest names first."""

_TEXTS = ("redirect_uris", "post_logout_redirect_uris", "grant_types", "response_types", "contacts")
_TEXT = (
    *("client_name", "scope", "token_endpoint_auth_method", "token_endpoint_auth_signing_alg", "jwks_uri"),
    *("subject_type", "sector_identifier_uri", "id_token_signed_response_alg", "userinfo_signed_response_alg"),
    *("initiate_login_uri", "backchannel_logout_uri", "frontchannel_logout_uri", "application_type"),
    *("client_uri", "logo_uri", "policy_uri", "tos_uri", "software_id", "software_version"),
)
_TRUTH = (
    *("require_auth_time", "backchannel_logout_session_required", "frontchannel_logout_session_required"),
    *("require_pushed_authorization_requests", "dpop_bound_access_tokens"),
)
_DESCRIBED = (
    *("client_uri", "logo_uri", "policy_uri", "tos_uri", "contacts", "application_type", "default_acr_values"),
    *("require_auth_time", "backchannel_logout_session_required", "frontchannel_logout_session_required"),
    *("software_id", "software_version"),
)
_NOT_SERVED = (
    *("id_token_encrypted_response_alg", "userinfo_encrypted_response_alg", "request_object_encryption_alg"),
    *("request_object_signing_alg", "introspection_signed_response_alg", "authorization_signed_response_alg"),
    *("tls_client_certificate_bound_access_tokens", "id_token_encrypted_response_enc"),
)
_LONGEST_TEXT = 500
_MOST = 20


class BadMetadata(Exception):  # noqa: N818 - what it is
    """The metadata cannot be taken: RFC 7591 3.2.2's code, and a sentence."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


def as_wanted(metadata: Mapping[str, Any], invitation: ClientInvite | Client) -> Wanted:
    """Return the registration that a client's metadata ask for, within the bounds of its invitation.

    `invitation` is the client itself when it changes its registration: it never gets more schools or scopes that way.

    Raises:
        BadMetadata: a member is not of its kind, or asks for what is not served.
    """
    for fault in _faults(metadata):
        raise BadMetadata(REDIRECT_FAULT if fault.startswith("redirect_uris") else METADATA_FAULT, fault)
    return Wanted(
        name=metadata.get("client_name") or "ENT",
        redirect_uris=metadata.get("redirect_uris", []),
        uais=list(invitation.uais),
        post_logout_redirect_uris=metadata.get("post_logout_redirect_uris", []),
        backchannel_logout_uri=metadata.get("backchannel_logout_uri", ""),
        frontchannel_logout_uri=metadata.get("frontchannel_logout_uri", ""),
        initiate_login_uri=metadata.get("initiate_login_uri", ""),
        home_uri=metadata.get("client_uri", ""),
        auth_method=metadata.get("token_endpoint_auth_method", SECRET_METHODS[0]),
        auth_alg=metadata.get("token_endpoint_auth_signing_alg", ""),
        jwks=metadata.get("jwks"),
        jwks_uri=metadata.get("jwks_uri", ""),
        par=metadata.get("require_pushed_authorization_requests", False),
        dpop=metadata.get("dpop_bound_access_tokens", False),
        sector_identifier_uri=metadata.get("sector_identifier_uri", ""),
        userinfo_alg=metadata.get("userinfo_signed_response_alg", ""),
        default_max_age=metadata.get("default_max_age"),
        description=_described(metadata),
        subject=metadata.get("subject_type", "pairwise"),
        scopes=_scopes(metadata, invitation.scopes),
        id_token_alg=metadata.get("id_token_signed_response_alg", "RS256"),
    )


def of_client(client: Client) -> dict[str, Any]:
    """Return a registration as metadata: all that was registered, whoever registered it (RFC 7591 3.2.1)."""
    offline = "offline_access" in client.scopes
    told: dict[str, Any] = {
        "client_id": client.client_id,
        "client_id_issued_at": int(client.created_at.timestamp()),
        "client_name": client.name,
        "redirect_uris": client.redirect_uris,
        "post_logout_redirect_uris": client.post_logout_redirect_uris,
        "response_types": ["code"],
        "grant_types": list(GRANT_TYPES if offline else GRANT_TYPES[:1]),
        "scope": " ".join(client.scopes),
        "token_endpoint_auth_method": client.auth_method,
        "token_endpoint_auth_signing_alg": client.auth_alg,
        "jwks": client.jwks,
        "jwks_uri": client.jwks_uri,
        "subject_type": "pairwise" if client.subject_type.value == "pairwise" else "public",
        "sector_identifier_uri": client.sector_identifier_uri,
        "id_token_signed_response_alg": client.id_token_alg,
        "userinfo_signed_response_alg": client.userinfo_alg,
        "default_max_age": client.default_max_age,
        "initiate_login_uri": client.initiate_login_uri,
        "backchannel_logout_uri": client.backchannel_logout_uri,
        "frontchannel_logout_uri": client.frontchannel_logout_uri,
        "require_pushed_authorization_requests": client.par_required,
        "dpop_bound_access_tokens": client.dpop_required,
        **client.description,
    }
    return {name: value for name, value in told.items() if value not in ("", None, [])}


def _described(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept to be told again; names in other languages (`client_name#en`) are among it."""
    tagged = (name for name in metadata if name.partition("#")[0] in {"client_name", *_DESCRIBED[:4]} and "#" in name)
    return {name: metadata[name] for name in (*_DESCRIBED, *sorted(tagged)[:_MOST]) if name in metadata}


def _scopes(metadata: Mapping[str, Any], allowed: list[str]) -> str:
    """Return the scopes that were asked for and are allowed; `refresh_token` among the grants is `offline_access`."""
    asked = metadata["scope"].split() if "scope" in metadata else [s for s in allowed if s != "offline_access"]
    if "refresh_token" in metadata.get("grant_types", []):
        asked.append("offline_access")
    return " ".join(dict.fromkeys(scope for scope in ("openid", *asked) if scope in allowed))


def _faults(metadata: Mapping[str, Any]) -> Iterator[str]:
    for name in ("redirect_uris", *sorted(metadata)):
        if name in metadata and (problem := _problem(name, metadata[name])):
            yield f"{name} {problem}"
    if set(metadata.get("grant_types", [])) - set(GRANT_TYPES):
        yield f"grant_types must be among: {', '.join(GRANT_TYPES)}"
    if set(metadata.get("response_types", ["code"])) != {"code"}:
        yield "response_types must be: code"
    if metadata.get("application_type", "web") != "web":
        yield "application_type must be: web"
    if metadata.get("subject_type", "pairwise") not in {"pairwise", "public"}:
        yield "subject_type must be pairwise or public"
    if metadata.get("logo_uri", "https://").partition("://")[0] != "https":
        yield "logo_uri must be https"


def _problem(name: str, value: Any) -> str:
    """Say why a member is not of its kind; nothing for those that are, and for those that are not known."""
    base = name.partition("#")[0]
    if base in (*_TEXTS, "default_acr_values"):
        fine = isinstance(value, list) and len(value) <= _MOST and all(_is_text(one) for one in value)
        return "" if fine else f"must be an array of {_MOST} strings at most"
    if base in _TEXT:
        return "" if _is_text(value) else f"must be a string of {_LONGEST_TEXT} characters at most"
    if base in _TRUTH:
        return "" if isinstance(value, bool) else "must be true or false"
    if base == "default_max_age":
        return "" if isinstance(value, int) and not isinstance(value, bool) else "must be a number of seconds"
    if base == "jwks":
        return "" if isinstance(value, dict) else "must be a JWK set"
    return "is not served" if base in _NOT_SERVED else ""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT and "\x00" not in value and _is_whole(value)


def _is_whole(text: str) -> bool:
    """Whether a text can be stored: JSON may hold halves of characters (RFC 8259 8.2)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
