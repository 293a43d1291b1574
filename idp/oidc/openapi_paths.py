"""The endpoints that `idp.oidc.openapi` describes: what each takes, what it answers, how its caller is proved."""

from typing import Any

from idp.oidc.claims import SCOPES
from idp.oidc.clients import AUTH_METHODS, GRANT_TYPES
from idp.oidc.openapi_schemas import BASIC, BEARER, DPOP, NO_CLIENT, REGISTRATION

_FORM = "application/x-www-form-urlencoded"

_TEXT = {"type": "string"}
_AUTHORIZATION: dict[str, dict[str, Any]] = {
    "client_id": {"type": "string", "maxLength": 100},
    "redirect_uri": {"type": "string", "maxLength": 500},
    "response_type": {"type": "string", "enum": ["code"]},
    "scope": {"type": "string", "description": f"`openid` and any of: {' '.join(SCOPES)}"},
    "state": {"type": "string", "maxLength": 4096},
    "nonce": {"type": "string", "maxLength": 600},
    "code_challenge": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"},
    "code_challenge_method": {"type": "string", "enum": ["S256"]},
    "response_mode": {"type": "string", "enum": ["query", "form_post"]},
    "prompt": {"type": "string", "description": "`none` alone, or any of `login`, `consent`, `select_account`"},
    "max_age": {"type": "integer", "minimum": 0},
    "login_hint": {"type": "string", "maxLength": 300},
    "id_token_hint": {"type": "string", "maxLength": 6000},
    "claims": {"type": "string", "description": "JSON (OpenID Connect Core 5.5)", "maxLength": 3000},
    "acr_values": {"type": "string", "maxLength": 500},
    "ui_locales": _TEXT,
    "claims_locales": _TEXT,
    "display": _TEXT,
    "dpop_jkt": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"},
}
_ASSERTION: dict[str, dict[str, Any]] = {
    "client_id": _TEXT,
    "client_secret": _TEXT,
    "client_assertion_type": {
        "type": "string",
        "enum": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"],
    },
    "client_assertion": _TEXT,
}
_LOGOUT: dict[str, dict[str, Any]] = {
    "id_token_hint": _TEXT,
    "client_id": _TEXT,
    "post_logout_redirect_uri": _TEXT,
    "state": _TEXT,
    "logout_hint": _TEXT,
    "ui_locales": _TEXT,
}


def _query(properties: dict[str, dict[str, Any]], required: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in properties.items()
    ]


def _form(properties: dict[str, dict[str, Any]], required: tuple[str, ...] = ()) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = list(required)
    return {"required": bool(required), "content": {_FORM: {"schema": schema}}}


def _json_body(schema: str) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _json(description: str, schema: str) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"description": description, "content": {"application/json": {"schema": reference}}}


def _answers(success: str, *refusals: int, **fine: Any) -> dict[str, Any]:
    """Return what an endpoint answers: its success (`200` unless `fine` says otherwise) and its JSON errors."""
    answers = fine or {"200": {"description": success}}
    answers |= {str(status): _json("refused", "Error") for status in (*refusals, 413)}
    return answers | {"503": _json("too many at once; `Retry-After` says when", "Error")}


def _operation(name: str, summary: str, answers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "responses": answers, **more}


_PAGE = {
    "200": {"description": "a page, or the form that carries the answer (`form_post`)"},
    "303": {"description": "to the client, to a step, or the same by GET"},
    "400": {"description": "an error page: client, redirect URI or pushed request are not certain"},
    "413": {"description": "too much"},
    "414": {"description": "too long"},
    "503": {"description": "too many at once"},
}
_WHO = [BASIC, NO_CLIENT]
_TOKEN = [BEARER, DPOP]


def _browser_paths() -> dict[str, Any]:
    return {
        "/authorize": {
            "get": _operation(
                "authorize",
                "Authorization endpoint (Core 3.1.2; RFC 9126 with `request_uri`)",
                _PAGE,
                parameters=_query(_AUTHORIZATION | {"request_uri": _TEXT}, ("client_id",)),
            ),
            "post": _operation(
                "authorizeByPost",
                "The same by POST",
                _PAGE,
                requestBody=_form(_AUTHORIZATION | {"request_uri": _TEXT}, ("client_id",)),
            ),
        },
        "/logout": {
            "get": _operation("logout", "RP-Initiated Logout 1.0", _PAGE, parameters=_query(_LOGOUT)),
            "post": _operation("logoutByPost", "The same by POST", _PAGE, requestBody=_form(_LOGOUT)),
        },
        "/session/check": {
            "get": _operation("checkSession", "Session Management 1.0, the page for an iframe", _answers("a page")),
        },
    }


_PROOF = {"name": "DPoP", "in": "header", "required": False, "schema": _TEXT}
_GRANT: dict[str, dict[str, Any]] = {
    "grant_type": {"type": "string", "enum": list(GRANT_TYPES)},
    "code": _TEXT,
    "redirect_uri": _TEXT,
    "code_verifier": {"type": "string", "minLength": 43, "maxLength": 128},
    "refresh_token": _TEXT,
    "scope": _TEXT,
}
_SHOWN: dict[str, dict[str, Any]] = {"token": _TEXT, "token_type_hint": _TEXT}


def _client_paths() -> dict[str, Any]:
    methods = f"client authentication by one of: {', '.join(AUTH_METHODS)}"
    return {
        "/token": {
            "post": _operation(
                "token",
                f"Token endpoint (RFC 6749 3.2, Core 3.1.3); {methods}",
                _answers("", 400, 401, 415, 429, **{"200": _json("tokens", "Tokens")}),
                requestBody=_form(_GRANT | _ASSERTION, ("grant_type",)),
                parameters=[_PROOF],
                security=_WHO,
            )
        },
        "/par": {
            "post": _operation(
                "push",
                f"Pushed authorization request (RFC 9126); {methods}",
                _answers("", 400, 401, 415, 429, **{"201": _json("a request_uri", "Pushed")}),
                requestBody=_form(_AUTHORIZATION | _ASSERTION, ("client_id",)),
                parameters=[_PROOF],
                security=_WHO,
            )
        },
        "/revoke": {
            "post": _operation(
                "revoke",
                "Token revocation (RFC 7009)",
                _answers("revoked, or never was", 400, 401, 415, 429),
                requestBody=_form(_SHOWN | _ASSERTION, ("token",)),
                security=_WHO,
            )
        },
        "/introspect": {
            "post": _operation(
                "introspect",
                "Token introspection (RFC 7662), of the client's own tokens",
                _answers("", 400, 401, 415, 429, **{"200": _json("what it is", "Introspection")}),
                requestBody=_form(_SHOWN | _ASSERTION, ("token",)),
                security=_WHO,
            )
        },
    }


def _person_paths() -> dict[str, Any]:
    claims = {
        "description": "claims; signed when the client was registered so",
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/Claims"}},
            "application/jwt": {"schema": _TEXT},
        },
    }
    answers = _answers("", 400, 401, **{"200": claims})
    charter = _json("the ENT's current charter", "Charter")
    return {
        "/userinfo": {
            "get": _operation("userinfo", "UserInfo (Core 5.3)", answers, security=_TOKEN),
            "post": _operation(
                "userinfoByPost",
                "The same by POST; the token in the header or the body",
                answers,
                requestBody=_form({"access_token": _TEXT}),
                security=[*_TOKEN, NO_CLIENT],
            ),
        },
        "/charter": {
            "get": _operation(
                "charter", "The charter", _answers("", 400, 401, 403, 404, **{"200": charter}), security=_TOKEN
            )
        },
        "/charter/acceptance": {
            "post": _operation(
                "acceptCharter",
                "Record that the person accepts a version",
                _answers("", 400, 401, 403, 404, 409, **{"200": charter}),
                requestBody=_json_body("Acceptance"),
                security=_TOKEN,
            )
        },
    }


def _registration_paths() -> dict[str, Any]:
    whole = _json("the registration", "Client")
    named = {"name": "client_id", "in": "path", "required": True, "schema": _TEXT}
    return {
        "/register": {
            "post": _operation(
                "register",
                "Dynamic registration (RFC 7591), with an initial access token",
                _answers("", 400, 401, 415, 429, **{"201": whole}),
                requestBody=_json_body("ClientMetadata"),
                security=[REGISTRATION],
            )
        },
        "/register/{client_id}": {
            "parameters": [named],
            "get": _operation(
                "readClient", "RFC 7592", _answers("", 401, 429, **{"200": whole}), security=[REGISTRATION]
            ),
            "put": _operation(
                "updateClient",
                "RFC 7592",
                _answers("", 400, 401, 415, 429, **{"200": whole}),
                requestBody=_json_body("ClientMetadata"),
                security=[REGISTRATION],
            ),
            "delete": _operation(
                "deleteClient",
                "RFC 7592",
                _answers("", 401, 429, **{"204": {"description": "gone"}}),
                security=[REGISTRATION],
            ),
        },
    }


def _public_paths() -> dict[str, Any]:
    documents = {
        "/.well-known/openid-configuration": ("discovery", "Discovery 1.0"),
        "/.well-known/oauth-authorization-server": ("discoveryOauth", "RFC 8414"),
        "/jwks.json": ("keys", "The keys that sign (RFC 7517)"),
        "/openapi.json": ("openapi", "This description"),
    }
    return {
        path: {"get": _operation(name, summary, {"200": _json(summary, "Document")})}
        for path, (name, summary) in documents.items()
    }


def paths() -> dict[str, Any]:
    """Return all of them, by address."""
    return {**_public_paths(), **_browser_paths(), **_client_paths(), **_person_paths(), **_registration_paths()}
