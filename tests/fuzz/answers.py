"""The allowed responses of each machine endpoint: statuses, and members of the JSON."""

_REFUSED = {400, 401, 413, 414, 429}
_TOKEN_REFUSED = {400, 401, 413, 414}
_BODY_REFUSED = {*_REFUSED, 415}
_METADATA = {
    *("redirect_uris", "client_name", "scope", "grant_types", "response_types", "token_endpoint_auth_method"),
    *("token_endpoint_auth_signing_alg", "jwks", "jwks_uri", "subject_type", "sector_identifier_uri"),
    *("id_token_signed_response_alg", "userinfo_signed_response_alg", "default_max_age", "require_auth_time"),
    *("initiate_login_uri", "post_logout_redirect_uris", "backchannel_logout_uri", "frontchannel_logout_uri"),
    *("require_pushed_authorization_requests", "dpop_bound_access_tokens", "backchannel_logout_session_required"),
    *("frontchannel_logout_session_required", "default_acr_values", "application_type", "software_id"),
    *("software_version", "client_uri", "logo_uri", "policy_uri", "tos_uri", "contacts"),
}
_CLIENT = {
    *_METADATA,
    *("client_id", "client_id_issued_at", "client_secret", "client_secret_expires_at", "registration_access_token"),
    *("registration_client_uri", "pending_approval"),
}
_CHARTER = {"version", "published_at", "markdown", "html", "accepted", "accepted_at"}

STATUSES = {
    "POST /token": {200, *_BODY_REFUSED},
    "POST /par": {201, *_BODY_REFUSED},
    "POST /revoke": {200, *_BODY_REFUSED},
    "POST /introspect": {200, *_BODY_REFUSED},
    "GET /userinfo": {200, *_TOKEN_REFUSED},
    "POST /userinfo": {200, *_TOKEN_REFUSED},
    "GET /charter": {200, 403, 404, *_TOKEN_REFUSED},
    "POST /charter/acceptance": {200, 403, 404, 409, *_TOKEN_REFUSED},
    "POST /register": {201, *_BODY_REFUSED},
    "GET /register/<client_id>": {200, *_REFUSED},
    "PUT /register/<client_id>": {200, *_BODY_REFUSED},
    "DELETE /register/<client_id>": {204, *_REFUSED},
}
"""The allowed statuses of each route, besides those of an overloaded server."""

NO_HOST = {405}
"""The status of a request with an invalid `Host`: it matches no route."""

MEMBERS = {
    "POST /token": {"access_token", "token_type", "expires_in", "id_token", "refresh_token", "scope"},
    "POST /par": {"request_uri", "expires_in"},
    "POST /revoke": set[str](),
    "POST /introspect": {
        *("active", "iss", "client_id", "aud", "sub", "scope", "exp", "auth_time", "acr", "cnf", "token_type"),
    },
    "GET /charter": _CHARTER,
    "POST /charter/acceptance": _CHARTER,
    "POST /register": _CLIENT,
    "GET /register/<client_id>": _CLIENT,
    "PUT /register/<client_id>": _CLIENT,
}
"""The allowed members of a successful response, without claims, which have their own tests."""

ERROR_MEMBERS = {"error", "error_description"}
MORE_ERROR_MEMBERS = {("POST /charter/acceptance", 409): _CHARTER}
"""A charter of another version was accepted: the answer has the present one."""
