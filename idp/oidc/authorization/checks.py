"""The checks of an authorization request (OpenID Connect Core 3.1.2.1, RFC 6749 4.1.1, RFC 7636, RFC 9126, RFC 9700).

Each rule of a specification has a function `check_*`. Until client and redirect URI are known to be valid, an error is
shown on a page of the service; after that it is sent to the client, except that an unsupported `response_mode`, a
malformed `state` and an invalid pushed `request_uri` get a page too.
"""

import base64
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

from idp.clients import registry
from idp.clients.registry import Registration
from idp.interaction.store import AuthorizationRequest
from idp.languages import first_offered
from idp.oidc.authorization import pushed_requests
from idp.oidc.authorization.errors import FORM_POST, RESPONSE_MODES, Cause, RequestRefusedError, UntrustedRequestError
from idp.oidc.claims import parameter, release
from idp.oidc.claims.parameter import ClaimsRequest, ClaimsRequestError, UnknownAcrError
from idp.oidc.client_auth import client as clients
from idp.oidc.keys import jose
from idp.oidc.parameters import ParameterError, parse
from idp.oidc.tokens.issued import read_id_token
from idp.services import services

# A JWT whose claims can be read. Its signature is empty for the algorithm `none` (RFC 7519 6.1).
_JWT = re.compile(r"[\w-]+\.([\w-]+)\.[\w-]*", re.ASCII)


def _mode_of_object(value: str) -> str:
    """Return the response mode in a request object; empty if there is none, or none that is supported.

    The signature is not checked, because the request is refused anyway. The error goes to the registered redirect URI
    of the request in both modes, so a forged object gains nothing.
    """
    match = _JWT.fullmatch(value)
    if match is None:
        return ""
    try:
        payload = jose.json_object(base64.urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4)))
    except ValueError:
        return ""
    mode = payload.get("response_mode")
    return mode if isinstance(mode, str) and mode in RESPONSE_MODES else ""


PROMPTS = frozenset({"none", "login", "consent", "select_account"})
PARAMETERS = frozenset(
    {
        *("client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "prompt"),
        *("code_challenge", "code_challenge_method", "dpop_jkt", "claims", "acr_values", "id_token_hint"),
        *("max_age", "login_hint", "ui_locales", "request", "request_uri", "registration"),
    }
)
"""The parameters that the service knows; others are ignored (RFC 6749 3.1)."""
_SHA256 = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_MAX_SCOPES = 50
_MAX_AGE = re.compile(r"[0-9]{1,9}", re.ASCII)
_NEEDED_TO_ANSWER = frozenset({"client_id", "redirect_uri", "parameters", "parameter"})


def check(encoded: bytes, *, fresh: bool = False) -> tuple[Registration, AuthorizationRequest]:
    """Check an authorization request, form-encoded; return its client and its parameters.

    `fresh` reads the client's registration from the database, not from memory.

    Raises:
        UntrustedRequestError: The error is shown on a page.
        RequestRefusedError: The error is sent to the client.
    """
    parameters, fault = _parse(encoded)
    client = check_client(parameters, fresh=fresh)
    request_uri = parameters.get("request_uri", "")
    if request_uri.startswith(pushed_requests.PREFIX):
        return client, replace(check_parameters(client, check_pushed(client, request_uri)), pushed=request_uri)
    if client.par_required or client.fapi2:
        fault = fault or "this client must push its requests"
    return client, check_parameters(client, parameters, fault)


def check_parameters(client: Registration, parameters: Mapping[str, str], fault: str = "") -> AuthorizationRequest:
    """Check the parameters of a request, pushed or not; `fault` is an error that was found before.

    Raises:
        UntrustedRequestError: The redirect URI or the state is invalid, or the response mode is not supported.
        RequestRefusedError: Another parameter is invalid.
    """
    redirect_uri = check_redirect_uri(client, parameters)
    check_response_mode(parameters)
    state, mode = parameters.get("state"), _response_mode(parameters)
    answered = partial(AuthorizationRequest, client.client_id, redirect_uri, "", state=state, response_mode=mode)
    if mode == FORM_POST and state and ("\n" in state or "\r" in state):
        raise UntrustedRequestError("unreadable state")  # browsers normalise line breaks in forms
    if fault:
        raise RequestRefusedError("invalid_request", fault, answered())
    try:
        return _check_rest(client, parameters)
    except _CheckError as refusal:
        error, description = refusal.args
        raise RequestRefusedError(error, description, answered()) from refusal


def check_again(client: Registration, request: AuthorizationRequest) -> None:
    """Check a request against the present registration: the person may have spent a while on the steps.

    Raises:
        RequestRefusedError: The registration no longer allows the request.
    """
    pkce = {"code_challenge": request.code_challenge, "code_challenge_method": "S256"} if request.code_challenge else {}
    try:
        check_scope(client, {"scope": request.scope})
        check_pkce(client, pkce)
        if (client.par_required or client.fapi2) and not request.pushed:
            raise _CheckError("invalid_request", "this client must push its requests")  # noqa: TRY301 - sent below like the others
    except _CheckError as refusal:
        error, description = refusal.args
        raise RequestRefusedError(error, description, request) from refusal


def _response_mode(parameters: Mapping[str, str]) -> str:
    mode = _mode_of_object(parameters.get("request", "")) or parameters.get("response_mode")
    return FORM_POST if mode == FORM_POST else ""


class _CheckError(Exception):
    """An error and its description, to be sent to the client (RFC 6749 4.1.2.1)."""


def _parse(encoded: bytes) -> tuple[dict[str, str], str]:
    """Return the parameters and an empty text; if they are malformed, those needed to answer and the fault.

    Raises:
        UntrustedRequestError: A parameter that is needed to answer the client is malformed.
    """
    try:
        return parse(encoded), ""
    except ParameterError as error:
        if error.name in _NEEDED_TO_ANSWER or error.name == "state":
            raise UntrustedRequestError(f"{error.problem} {error.name}") from error
        needed: dict[str, str] = {}
        for name in ("client_id", "redirect_uri", "state", "request_uri"):
            needed |= _only(encoded, name)
        with suppress(UntrustedRequestError):
            needed |= _only(encoded, "response_mode")
        return needed, str(error)


def _only(encoded: bytes, name: str) -> dict[str, str]:
    prefix = name.encode() + b"="
    parts = [part for part in encoded.split(b"&") if part.startswith(prefix)]
    try:
        return parse(b"&".join(parts))
    except ParameterError as error:
        raise UntrustedRequestError(f"{error.problem} {name}") from error


def check_client(parameters: Mapping[str, str], *, fresh: bool) -> Registration:
    """Return the registered, enabled client. The error is the same for an unknown and a disabled one."""
    client_id = parameters.get("client_id", "")
    client = None if registry.is_unknown(client_id) else clients.find(client_id, fresh=fresh)
    if client is None:
        raise UntrustedRequestError("invalid client_id", Cause.CLIENT)
    return client.registration


def check_redirect_uri(client: Registration, parameters: Mapping[str, str]) -> str:
    """Return the redirect URI, which is required and compared exactly with the registered ones (RFC 9700 2.1)."""
    uri = parameters.get("redirect_uri", "")
    if uri not in client.redirect_uris:
        raise UntrustedRequestError("invalid redirect_uri", Cause.REDIRECT_URI if uri else Cause.NO_REDIRECT_URI)
    return uri


def check_pushed(client: Registration, request_uri: str) -> Mapping[str, str]:
    """Return the parameters of a pushed request, which must be the client's own, unused and not expired (RFC 9126 4).

    Parameters beside it are ignored. The caller checks the pushed ones again, as the registration may have changed.
    """
    parameters = pushed_requests.find(client, request_uri)
    if parameters is None:
        raise UntrustedRequestError("invalid request_uri", Cause.EXPIRED)
    return parameters


def _check_rest(client: Registration, parameters: Mapping[str, str]) -> AuthorizationRequest:
    check_no_request_object(parameters)
    check_response_type(parameters)
    claims_request = check_claims(client, parameters)
    return AuthorizationRequest(
        client_id=client.client_id,
        redirect_uri=parameters["redirect_uri"],
        scope=check_scope(client, parameters),
        state=parameters.get("state"),
        nonce=parameters.get("nonce"),
        code_challenge=check_pkce(client, parameters),
        acr=release.required_session_class(claims_request.acr) if claims_request.acr_is_essential else None,
        prompt=check_prompt(parameters),
        max_age=check_max_age(client, parameters),
        login_hint=parameters.get("login_hint", "")[:100],
        subject=check_subject(claims_request, check_id_token_hint(client, parameters)),
        claims=claims_request.serialize(),
        response_mode=_response_mode(parameters),
        jkt=check_dpop_jkt(parameters),
        ui_locales=first_offered(parameters.get("ui_locales", "")),
    )


def check_no_request_object(parameters: Mapping[str, str]) -> None:
    """Refuse request objects (Core 6.1) and the parameter `registration`; fetch no `request_uri`."""
    for name, error in (
        ("request", "request_not_supported"),
        ("request_uri", "request_uri_not_supported"),
        ("registration", "registration_not_supported"),
    ):
        if parameters.get(name):
            raise _CheckError(error, "")


def check_response_type(parameters: Mapping[str, str]) -> None:
    """Refuse any flow but the code flow."""
    kind = parameters.get("response_type")
    if not kind:
        raise _CheckError("invalid_request", "response_type is missing")
    if kind != "code":
        raise _CheckError("unsupported_response_type", "only the code flow is served")


def check_response_mode(parameters: Mapping[str, str]) -> None:
    """Refuse response modes other than `query` and `form_post`.

    A client that requests another one could not read the error, so it is shown on a page (Core 3.1.2.6).
    """
    if parameters.get("response_mode", RESPONSE_MODES[0]) not in RESPONSE_MODES:
        raise UntrustedRequestError(f"response_mode must be one of: {', '.join(RESPONSE_MODES)}")


def check_scope(client: Registration, parameters: Mapping[str, str]) -> str:
    """Return the scope without unknown values, which are ignored (Core 3.1.2.1; RFC 6749 3.3).

    `openid` is required. A known value that the client is not registered for is refused.
    """
    values = list(dict.fromkeys(parameters.get("scope", "").split()))
    if "openid" not in values:
        raise _CheckError("invalid_scope", "scope must contain openid")
    if len(values) > _MAX_SCOPES:
        raise _CheckError("invalid_scope", f"scope has more than {_MAX_SCOPES} values")
    known = [scope for scope in values if scope in release.SCOPES]
    if not (client.scopes | {"openid"}).issuperset(known):
        raise _CheckError("invalid_scope", "a scope is not assigned to this client")
    return " ".join(known)


def check_pkce(client: Registration, parameters: Mapping[str, str]) -> str | None:
    """Return the S256 challenge (RFC 7636); None if the client sends none and need not."""
    challenge, method = parameters.get("code_challenge"), parameters.get("code_challenge_method")
    if challenge is None and method is None:
        if client.pkce_required or client.fapi2:
            raise _CheckError("invalid_request", "code_challenge is missing")
        return None
    if method != "S256":
        raise _CheckError("invalid_request", "code_challenge_method must be S256")
    if not _SHA256.fullmatch(challenge or ""):
        raise _CheckError("invalid_request", "code_challenge must be 43 base64url characters")
    return challenge


def check_dpop_jkt(parameters: Mapping[str, str]) -> str | None:
    """Return the thumbprint of the key that the code will be bound to (RFC 9449 10)."""
    jkt = parameters.get("dpop_jkt")
    if jkt is not None and not _SHA256.fullmatch(jkt):
        raise _CheckError("invalid_request", "dpop_jkt must be 43 base64url characters")
    return jkt


def check_prompt(parameters: Mapping[str, str]) -> str:
    """Return the prompt. Unknown values are refused, and `none` together with others."""
    prompts = parameters.get("prompt", "").split()
    if set(prompts) - PROMPTS:
        raise _CheckError("invalid_request", "prompt has an unknown value")
    if "none" in prompts and len(prompts) > 1:
        raise _CheckError("invalid_request", "prompt none must stand alone")
    return " ".join(prompts)


def check_max_age(client: Registration, parameters: Mapping[str, str]) -> int | None:
    """Return `max_age` in seconds, or the registered `default_max_age` (Registration 2)."""
    value = parameters.get("max_age")
    if value is None:
        return client.default_max_age
    if not _MAX_AGE.fullmatch(value):
        raise _CheckError("invalid_request", "max_age must be a number of seconds")
    return int(value)


def check_claims(client: Registration, parameters: Mapping[str, str]) -> ClaimsRequest:
    """Return the claims request (Core 5.5) with `acr_values` (3.1.2.1) or the registered `default_acr_values`.

    An essential `acr` that no sign-in can satisfy is refused (Unmet Authentication Requirements 1.0).
    """
    try:
        return parameter.read(
            parameters.get("claims"),
            parameters.get("acr_values") or client.default_acr_values,
            releasable=release.releasable_claims(client),
            classes=release.ACR_VALUES,
        )
    except ClaimsRequestError as malformed:
        raise _CheckError("invalid_request", str(malformed)) from malformed
    except UnknownAcrError:
        raise _CheckError("unmet_authentication_requirements", "no sign-in satisfies one of the acr values") from None


def check_subject(claims_request: ClaimsRequest, hinted: str | None) -> str | None:
    """Return the accepted values of `sub`, one a line, by the hint and the claims request; None for any (3.1.2.2)."""
    if hinted is None:
        return "\n".join(sorted(claims_request.subjects)) or None
    if claims_request.subjects and hinted not in claims_request.subjects:
        raise _CheckError("invalid_request", "id_token_hint and claims name different subjects")
    return hinted


def check_id_token_hint(client: Registration, parameters: Mapping[str, str]) -> str | None:
    """Return `sub` of `id_token_hint`, an ID token for this client that may have expired (Core 3.1.2.1)."""
    hint = parameters.get("id_token_hint")
    if not hint:
        return None
    identity = read_id_token(services().settings, services().server.ring, hint)
    if identity is None or identity.get("aud") != client.client_id:
        raise _CheckError("invalid_request", "id_token_hint is not an ID token of this client")
    return str(identity["sub"])
