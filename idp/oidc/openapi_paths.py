"""The endpoints that `idp.oidc.openapi` describes: what each takes, what it answers, how its caller is proved."""

from typing import Any

from idp.oidc.answers import RESPONSE_MODES
from idp.oidc.claims import SCOPES
from idp.oidc.clients import AUTH_METHODS, GRANT_TYPES
from idp.oidc.openapi_schemas import BASIC, BEARER, DPOP, NO_CLIENT, REGISTRATION
from idp.oidc.parameters import LONGEST

_FORM = "application/x-www-form-urlencoded"

_TEXT = {"type": "string"}


def _parameters(**described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return parameters that are texts, each as long as it may be."""
    bounds = {name: {"maxLength": LONGEST[name]} for name in described if name in LONGEST}
    return {name: {**_TEXT, **bounds.get(name, {}), **more} for name, more in described.items()}


_THUMBPRINT = {"pattern": "^[A-Za-z0-9_-]{43}$"}
_AUTHORIZATION: dict[str, dict[str, Any]] = {
    **_parameters(
        client_id={},
        redirect_uri={},
        response_type={"enum": ["code"]},
        scope={"description": f"`openid` and any of: {' '.join(SCOPES)}"},
        state={},
        nonce={},
        code_challenge=_THUMBPRINT,
        code_challenge_method={"enum": ["S256"]},
        response_mode={"enum": list(RESPONSE_MODES)},
        prompt={"description": "`none` alone, or any of `login`, `consent`, `select_account`"},
        login_hint={},
        id_token_hint={},
        claims={"description": "JSON (OpenID Connect Core 5.5)"},
        acr_values={},
        ui_locales={},
        claims_locales={},
        display={},
        dpop_jkt=_THUMBPRINT,
    ),
    "max_age": {"type": "integer", "minimum": 0},
}
_ASSERTION = _parameters(
    client_id={},
    client_secret={},
    client_assertion_type={"enum": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]},
    client_assertion={},
)
_LOGOUT = _parameters(
    id_token_hint={}, client_id={}, post_logout_redirect_uri={}, state={}, logout_hint={}, ui_locales={}
)


def _needed(properties: dict[str, dict[str, Any]], required: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return the parameters, those that are required with a value: without one they count as left out."""
    return {name: {**schema, "minLength": 1} if name in required else schema for name, schema in properties.items()}


def _query(properties: dict[str, dict[str, Any]], required: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in _needed(properties, required).items()
    ]


def _form(properties: dict[str, dict[str, Any]], required: tuple[str, ...] = ()) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": _needed(properties, required)}
    if required:
        schema["required"] = list(required)
    return {"required": bool(required), "content": {_FORM: {"schema": schema}}}


def _json_body(schema: str) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _json(description: str, schema: str) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"description": description, "content": {"application/json": {"schema": reference}}}


def _answers(*refusals: int, **fine: Any) -> dict[str, Any]:
    """Return what an endpoint answers: its success, under the status, and its JSON errors."""
    errors = {str(status): _json("refused", "Error") for status in (*refusals, 413, 414)}
    return fine | errors | {"503": _json("too many at once; `Retry-After` says when", "Error")}


def _operation(name: str, summary: str, answers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "responses": answers, **more}


def _html(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"text/html": {"schema": _TEXT}}}


_NO_PAGE = {
    "413": _html("too much"),
    "414": _html("too long"),
    "415": _html("no page takes files"),
}
"""What is refused before any page is asked."""
_BUSY_PAGE = {"503": _html("too many at once; `Retry-After` says when")}
_PAGE = {
    "200": _html("a page, or the form that carries the answer (`form_post`)"),
    "303": _html("to the client, to a step, or the same by GET"),
    "400": _html("an error page: client, redirect URI or pushed request are not certain"),
    **_NO_PAGE,
    **_BUSY_PAGE,
}
_LIMITED_PAGE = {**_PAGE, "429": _html("too many requests of one session or network; `Retry-After` says when")}
_WHO = [BASIC, NO_CLIENT]
_TOKEN = [BEARER, DPOP]


def _browser_paths() -> dict[str, Any]:
    return {
        "/authorize": {
            "get": _operation(
                "authorize",
                "Authorization endpoint (Core 3.1.2; RFC 9126 with `request_uri`)",
                _LIMITED_PAGE,
                parameters=_query(_AUTHORIZATION | {"request_uri": _TEXT}, ("client_id",)),
            ),
            "post": _operation(
                "authorizeByPost",
                "The same by POST",
                _LIMITED_PAGE,
                requestBody=_form(_AUTHORIZATION | {"request_uri": _TEXT}, ("client_id",)),
            ),
        },
        "/logout": {
            "get": _operation("logout", "RP-Initiated Logout 1.0", _PAGE, parameters=_query(_LOGOUT)),
            "post": _operation("logoutByPost", "The same by POST", _PAGE, requestBody=_form(_LOGOUT)),
        },
        "/session/check": {
            "get": _operation(
                "checkSession",
                "Session Management 1.0, the page for an iframe",
                {"200": _html("a page"), **_NO_PAGE},
            ),
        },
    }


_PROOF = {"name": "DPoP", "in": "header", "required": False, "schema": _TEXT}
_GRANT = _parameters(
    grant_type={"enum": list(GRANT_TYPES)},
    code={},
    redirect_uri={},
    code_verifier={"minLength": 43, "maxLength": 128},
    refresh_token={},
    scope={},
)
_SHOWN = _parameters(token={}, token_type_hint={})


def _client_paths() -> dict[str, Any]:
    methods = f"client authentication by one of: {', '.join(AUTH_METHODS)}"
    return {
        "/token": {
            "post": _operation(
                "token",
                f"Token endpoint (RFC 6749 3.2, Core 3.1.3); {methods}",
                _answers(400, 401, 415, 429, **{"200": _json("tokens", "Tokens")}),
                requestBody=_form(_GRANT | _ASSERTION, ("grant_type",)),
                parameters=[_PROOF],
                security=_WHO,
            )
        },
        "/par": {
            "post": _operation(
                "push",
                f"Pushed authorization request (RFC 9126); {methods}",
                _answers(400, 401, 415, 429, **{"201": _json("a request_uri", "Pushed")}),
                requestBody=_form(_AUTHORIZATION | _ASSERTION, ("client_id",)),
                parameters=[_PROOF],
                security=_WHO,
            )
        },
        "/revoke": {
            "post": _operation(
                "revoke",
                "Token revocation (RFC 7009)",
                _answers(400, 401, 415, 429, **{"200": _json("revoked, or never was", "Document")}),
                requestBody=_form(_SHOWN | _ASSERTION, ("token",)),
                security=_WHO,
            )
        },
        "/introspect": {
            "post": _operation(
                "introspect",
                "Token introspection (RFC 7662), of the client's own tokens",
                _answers(400, 401, 415, 429, **{"200": _json("what it is", "Introspection")}),
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
    unauthorized = _json("refused; without an `error` when no token was shown (RFC 6750 3.1)", "Unauthorized")
    answers = _answers(400, **{"200": claims, "401": unauthorized})
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
                "charter",
                "The charter",
                _answers(400, 403, 404, **{"200": charter, "401": unauthorized}),
                security=_TOKEN,
            )
        },
        "/charter/acceptance": {
            "post": _operation(
                "acceptCharter",
                "Record that the person accepts a version",
                _answers(400, 403, 404, 409, **{"200": charter, "401": unauthorized}),
                requestBody=_json_body("Acceptance"),
                security=_TOKEN,
            )
        },
    }


def _registration_paths() -> dict[str, Any]:
    whole = _json("the registration", "Client")
    named = {"name": "client_id", "in": "path", "required": True, "schema": _AUTHORIZATION["client_id"]}
    return {
        "/register": {
            "post": _operation(
                "register",
                "Dynamic registration (RFC 7591), with an initial access token",
                _answers(400, 401, 415, 429, **{"201": whole}),
                requestBody=_json_body("ClientMetadata"),
                security=[REGISTRATION],
            )
        },
        "/register/{client_id}": {
            "parameters": [named],
            "get": _operation(
                "readClient", "Read it (RFC 7592 2.1)", _answers(401, 429, **{"200": whole}), security=[REGISTRATION]
            ),
            "put": _operation(
                "updateClient",
                "Replace the registration (RFC 7592 2.2)",
                _answers(400, 401, 415, 429, **{"200": whole}),
                requestBody=_json_body("ClientUpdate"),
                security=[REGISTRATION],
            ),
            "delete": _operation(
                "deleteClient",
                "End it (RFC 7592 2.3)",
                _answers(401, 429, **{"204": {"description": "gone"}}),
                security=[REGISTRATION],
            ),
        },
    }


def _public_paths() -> dict[str, Any]:
    pages = {**_NO_PAGE, **_BUSY_PAGE}
    documents = {
        "/.well-known/openid-configuration": ("discovery", "Discovery 1.0", pages),
        "/.well-known/oauth-authorization-server": ("discoveryOauth", "RFC 8414", pages),
        "/jwks.json": ("keys", "The keys that sign (RFC 7517)", _answers()),
        "/openapi.json": ("openapi", "This description", _answers()),
    }
    return {
        path: {"get": _operation(name, summary, {"200": _json(summary, "Document"), **refusals})}
        for path, (name, summary, refusals) in documents.items()
    }


def paths() -> dict[str, Any]:
    """Return all of them, by address."""
    return {**_public_paths(), **_browser_paths(), **_client_paths(), **_person_paths(), **_registration_paths()}
